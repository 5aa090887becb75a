project     = "{{name}}"
environment = "dev"
profile     = "minimal"
region      = "eu-west-1"

# The bucket of the Terraform state, as in dev.tfbackend.
state_bucket = "{{name}}-terraform-state"
