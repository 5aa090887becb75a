#!/bin/sh
# Prints the folder of a filesystem mirror that holds the AWS provider for Terraform, if this machine
# has one, so that checks and tests need no registry. CAUCE_TF_PLUGINS names one directly.
if [ -n "${CAUCE_TF_PLUGINS:-}" ]; then
    echo "$CAUCE_TF_PLUGINS"
    exit 0
fi
for folder in "${TF_PLUGIN_CACHE_DIR:-}" "$HOME/.terraform.d/plugins" "$HOME/.terraform.d/plugin-cache" \
    "${XDG_DATA_HOME:-$HOME/.local/share}/terraform/plugins" \
    /usr/local/share/terraform/plugins /usr/share/terraform/plugins /opt/*; do
    if [ -n "$folder" ] && ls -d "$folder"/*/hashicorp/aws >/dev/null 2>&1; then
        echo "$folder"
        exit 0
    fi
done
exit 0
