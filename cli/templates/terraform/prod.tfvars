project     = "{{name}}"
environment = "prod"
profile     = "private"
region      = "eu-west-1"

# The bucket of the Terraform state, as in prod.tfbackend.
state_bucket = "{{name}}-terraform-state"
