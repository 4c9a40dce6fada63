"""Images, as all other packages read them.

- `reading`: `read_image`, one picture as a person sees it.
- `bounded`: `read_bytes` and `holding`, encoded files within limits of memory and time; `places`: which hosts answer.
- `names`: names of any bytes, as they are shown and stored.
- `sources`: `list_images`, over folders, globs, manifests and object stores.
- `datasets`: `load_dataset`, pictures with their ground truth.
- `near_duplicates`: which pictures show the same.
- `labels`, `label_formats`: what people are asked to label, in the formats of their tools, and what they said.
- `statistics`: `image_statistics`, the numbers that drift is watched in.
- `digits`: real labelled data for the demo and the tests, made without a download.
"""
