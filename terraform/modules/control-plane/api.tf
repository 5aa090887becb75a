# The HTTP interface: an HTTP API in front of one function. It has no price by the hour; it throttles and keeps an access
# log, which a function URL does not (docs/decisions/0050-http-interface.md).

locals {
  api = toset(var.api_enabled ? ["api"] : [])
}

# Scopes and references of secrets, never values.
resource "aws_s3_object" "api_keys" {
  for_each = local.api

  bucket       = aws_s3_bucket.documents.id
  key          = "api.json"
  content      = jsonencode({ keys = try(var.api_keys.keys, {}) })
  content_type = "application/json"
}

resource "aws_apigatewayv2_api" "this" {
  for_each = local.api

  name          = "${var.name}-api"
  description   = "Runs, approvals, metrics and webhooks of ${var.name}"
  protocol_type = "HTTP"
}

resource "aws_apigatewayv2_integration" "api" {
  for_each = local.api

  api_id                 = aws_apigatewayv2_api.this[each.key].id
  integration_type       = "AWS_PROXY"
  integration_uri        = aws_lambda_function.this["api"].invoke_arn
  payload_format_version = "2.0"
  timeout_milliseconds   = 29000
}

resource "aws_apigatewayv2_route" "api" {
  for_each = local.api

  api_id             = aws_apigatewayv2_api.this[each.key].id
  route_key          = "$default"
  target             = "integrations/${aws_apigatewayv2_integration.api[each.key].id}"
  authorization_type = "NONE"

  #checkov:skip=CKV_AWS_309: the function authorizes: keys with scopes, and webhooks by their signature, which no authorizer of API Gateway can check.
}

resource "aws_apigatewayv2_stage" "api" {
  for_each = local.api

  api_id      = aws_apigatewayv2_api.this[each.key].id
  name        = "$default"
  auto_deploy = true

  default_route_settings {
    throttling_rate_limit  = var.api_rate.per_second
    throttling_burst_limit = var.api_rate.burst
  }

  # Neither headers nor query: tokens, signatures and Meta's verify token are there.
  access_log_settings {
    destination_arn = aws_cloudwatch_log_group.api[each.key].arn
    format = jsonencode({
      at         = "$context.requestTime"
      request_id = "$context.requestId"
      source     = "$context.identity.sourceIp"
      method     = "$context.httpMethod"
      path       = "$context.path"
      status     = "$context.status"
      bytes      = "$context.responseLength"
      latency_ms = "$context.responseLatency"
    })
  }
}

resource "aws_cloudwatch_log_group" "api" {
  for_each = local.api

  name              = "/aws/apigateway/${var.name}"
  retention_in_days = var.log_retention_days
  kms_key_id        = one(aws_kms_key.this[*].arn)

  #checkov:skip=CKV_AWS_158: a customer-managed key is a variable (customer_key); prod has it.
  #checkov:skip=CKV_AWS_338: retention is a variable, 90 days by default.
}

# https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html
resource "aws_lambda_permission" "api" {
  for_each = local.api

  statement_id   = "http-api"
  action         = "lambda:InvokeFunction"
  function_name  = aws_lambda_function.this["api"].function_name
  principal      = "apigateway.amazonaws.com"
  source_account = local.account
  source_arn     = "${aws_apigatewayv2_api.this[each.key].execution_arn}/*/*"
}
