#!/bin/sh
# A bucket for each service, and a key of the same name that owns it and reaches no other one. A
# second time it changes secrets only.
set -eu

bucket() {
    versitygw admin create-user --access "$1" --secret "$2" --role user ||
        versitygw admin update-user --access "$1" --secret "$2"
    versitygw admin create-bucket --owner "$1" --bucket "$1" ||
        versitygw admin list-buckets |
        awk -v name="$1" '$1 == name && $2 == name {found = 1} END {exit !found}'
}

bucket mlflow "$S3_MLFLOW_KEY"
bucket foveal "$S3_FOVEAL_KEY"
