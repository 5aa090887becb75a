output "topic_arns" {
  description = "Topics by name; `alarms` is one of them."
  value       = { for name, topic in aws_sns_topic.this : name => topic.arn }
}

output "identity_arns" {
  description = "Mail identities that notify may send from."
  value       = [for identity in aws_sesv2_email_identity.this : identity.arn]
}

output "mail_records" {
  description = "DNS records that verify each domain: CNAMEs `<token>._domainkey.<domain>` to `<token>.dkim.amazonses.com`."
  value       = { for name, identity in aws_sesv2_email_identity.this : name => try(identity.dkim_signing_attributes[0].tokens, []) }
}
