#!/bin/sh
# The bucket, with versions so that nothing is lost by an overwrite, and a key of its own for Foveal and MLflow.
set -eu
mc alias set store http://minio:9000 admin "$MINIO_ROOT_PASSWORD" >/dev/null
mc mb --ignore-existing store/foveal
mc version enable store/foveal
mc admin user add store foveal "$S3_SECRET_KEY"
mc admin policy create store foveal /policy.json
mc admin policy attach store foveal --user foveal || mc admin user info store foveal
