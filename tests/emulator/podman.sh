#!/bin/sh
# Stands in for podman: builds nothing, and pushes an image by putting a manifest of its name into the registry.
set -eu
echo "podman $*" >&2
case $1 in
login) test -n "$(cat)" ;;
build) ;;
push)
    image=${2#*/}
    manifest=$(printf '{"schemaVersion": 2, "of": "%s"}' "$2")
    aws ecr put-image --repository-name "${image%:*}" --image-tag "${image##*:}" --image-manifest "$manifest" >&2
    ;;
*) exit 2 ;;
esac
