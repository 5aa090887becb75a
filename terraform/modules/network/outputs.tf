output "vpc_id" {
  description = "The VPC."
  value       = aws_vpc.this.id
}

output "tasks" {
  description = "Where tasks run: `subnet_ids`, `security_group_ids`, `assign_public_ip`. Given to the module pipelines."
  value = {
    subnet_ids         = [for subnet in(local.private ? aws_subnet.private : aws_subnet.public) : subnet.id]
    security_group_ids = [aws_security_group.tasks.id]
    assign_public_ip   = !local.private
  }
}

output "idle_usd_month" {
  description = "What the network costs in a month in which nothing runs, in US dollars at list prices of us-east-1, by part."
  value       = { for part, usd in merge(local.idle, { total = sum(values(local.idle)) }) : part => tonumber(format("%.2f", usd)) }
}
