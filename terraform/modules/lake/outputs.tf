output "buckets" {
  description = "Buckets by the name under which pipelines know them: `name` and `arn`. Given to the module pipelines."
  value       = { for name, bucket in aws_s3_bucket.this : name => { name = bucket.id, arn = bucket.arn } }
}
