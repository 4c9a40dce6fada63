"""Images, as all other packages read them.

- `reading`: `read_image`, one picture as a person sees it.
- `bounded`: `read_bytes` and `holding`, encoded files within limits of memory and time; `places`:
  hosts that answer.
- `names`: names of any bytes, as they are shown and stored.
- `sources`: `list_images`, over folders, globs, manifests and object stores; `object_store`:
  folders that are written.
- `statistics`: `image_statistics`, the numbers that drift is watched in.
"""
