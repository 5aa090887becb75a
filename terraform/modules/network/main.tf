# The network of container tasks. Tasks connect outwards only: no security group here lets anything in but endpoints'.

data "aws_availability_zones" "available" {
  state = "available"

  filter {
    name   = "opt-in-status"
    values = ["opt-in-not-required"]
  }

  #checkov:skip=CKV_AWS_394: only the first zones by name are used; a zone that AWS adds sorts behind them.
}

data "aws_region" "current" {}

locals {
  private   = var.profile == "private"
  endpoints = local.private && contains(["endpoints", "both"], var.egress)
  nat       = local.private && contains(["nat", "both"], var.egress)
  zones     = slice(data.aws_availability_zones.available.names, 0, var.zones)

  # Public subnets hold tasks in the profile minimal, and NAT gateways in the profile private.
  public_zones  = local.private ? (local.nat ? (var.nat_per_zone ? local.zones : slice(local.zones, 0, 1)) : []) : local.zones
  private_zones = local.private ? local.zones : []
  nat_zones     = local.nat ? local.public_zones : []
}

resource "aws_vpc" "this" {
  cidr_block           = var.cidr
  enable_dns_support   = true
  enable_dns_hostnames = true
  tags                 = { Name = var.name }

  #checkov:skip=CKV2_AWS_11: flow logs are a variable (flow_logs), priced by volume; prod has them on.
}

# The group that everything without one would get: closed.
resource "aws_default_security_group" "this" {
  vpc_id = aws_vpc.this.id
}

resource "aws_internet_gateway" "this" {
  count = length(local.public_zones) > 0 ? 1 : 0

  vpc_id = aws_vpc.this.id
  tags   = { Name = var.name }
}

resource "aws_subnet" "public" {
  for_each = { for position, zone in local.public_zones : zone => position }

  vpc_id            = aws_vpc.this.id
  availability_zone = each.key
  cidr_block        = cidrsubnet(var.cidr, 4, each.value)
  tags              = { Name = "${var.name}-public-${each.key}" }
}

resource "aws_route_table" "public" {
  count = length(local.public_zones) > 0 ? 1 : 0

  vpc_id = aws_vpc.this.id
  tags   = { Name = "${var.name}-public" }
}

resource "aws_route" "internet" {
  count = length(local.public_zones) > 0 ? 1 : 0

  route_table_id         = aws_route_table.public[0].id
  destination_cidr_block = "0.0.0.0/0"
  gateway_id             = aws_internet_gateway.this[0].id
}

resource "aws_route_table_association" "public" {
  for_each = aws_subnet.public

  subnet_id      = each.value.id
  route_table_id = aws_route_table.public[0].id
}

resource "aws_subnet" "private" {
  for_each = { for position, zone in local.private_zones : zone => position }

  vpc_id            = aws_vpc.this.id
  availability_zone = each.key
  cidr_block        = cidrsubnet(var.cidr, 2, 1 + each.value)
  tags              = { Name = "${var.name}-private-${each.key}" }
}

resource "aws_route_table" "private" {
  for_each = aws_subnet.private

  vpc_id = aws_vpc.this.id
  tags   = { Name = "${var.name}-private-${each.key}" }
}

resource "aws_route_table_association" "private" {
  for_each = aws_subnet.private

  subnet_id      = each.value.id
  route_table_id = aws_route_table.private[each.key].id
}

resource "aws_eip" "nat" {
  for_each = toset(local.nat_zones)

  domain = "vpc"
  tags   = { Name = "${var.name}-nat-${each.key}" }
}

resource "aws_nat_gateway" "this" {
  for_each = toset(local.nat_zones)

  allocation_id = aws_eip.nat[each.key].id
  subnet_id     = aws_subnet.public[each.key].id
  tags          = { Name = "${var.name}-${each.key}" }
  depends_on    = [aws_internet_gateway.this]
}

resource "aws_route" "nat" {
  for_each = local.nat ? aws_route_table.private : {}

  route_table_id         = each.value.id
  destination_cidr_block = "0.0.0.0/0"
  nat_gateway_id         = aws_nat_gateway.this[contains(local.nat_zones, each.key) ? each.key : local.nat_zones[0]].id
}

# S3 and DynamoDB without leaving AWS's network, free of charge, in both profiles.
resource "aws_vpc_endpoint" "gateway" {
  for_each = toset(["s3", "dynamodb"])

  vpc_id            = aws_vpc.this.id
  vpc_endpoint_type = "Gateway"
  service_name      = "com.amazonaws.${data.aws_region.current.name}.${each.key}"
  route_table_ids   = concat(aws_route_table.public[*].id, [for table in aws_route_table.private : table.id])
  tags              = { Name = "${var.name}-${each.key}" }
}

resource "aws_security_group" "tasks" {
  name        = "${var.name}-tasks"
  description = "Container tasks: outwards only"
  vpc_id      = aws_vpc.this.id
  tags        = { Name = "${var.name}-tasks" }

  #checkov:skip=CKV2_AWS_5: tasks get it at launch, from the deployment document.
}

resource "aws_vpc_security_group_egress_rule" "tasks" {
  for_each = { for rule in var.task_egress : "${rule.cidr}:${rule.from_port}-${rule.to_port}" => rule }

  security_group_id = aws_security_group.tasks.id
  description       = each.value.description
  cidr_ipv4         = each.value.cidr
  ip_protocol       = "tcp"
  from_port         = each.value.from_port
  to_port           = each.value.to_port
}

resource "aws_security_group" "endpoints" {
  count = local.endpoints ? 1 : 0

  name        = "${var.name}-endpoints"
  description = "Interface endpoints: HTTPS from tasks"
  vpc_id      = aws_vpc.this.id
  tags        = { Name = "${var.name}-endpoints" }
}

resource "aws_vpc_security_group_ingress_rule" "endpoints" {
  count = local.endpoints ? 1 : 0

  security_group_id            = aws_security_group.endpoints[0].id
  description                  = "HTTPS from tasks"
  referenced_security_group_id = aws_security_group.tasks.id
  ip_protocol                  = "tcp"
  from_port                    = 443
  to_port                      = 443
}

resource "aws_vpc_endpoint" "interface" {
  for_each = local.endpoints ? var.interface_services : []

  vpc_id              = aws_vpc.this.id
  vpc_endpoint_type   = "Interface"
  service_name        = "com.amazonaws.${data.aws_region.current.name}.${each.key}"
  subnet_ids          = [for subnet in aws_subnet.private : subnet.id]
  security_group_ids  = [aws_security_group.endpoints[0].id]
  private_dns_enabled = true
  tags                = { Name = "${var.name}-${each.key}" }
}
