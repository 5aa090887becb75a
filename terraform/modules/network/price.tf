# What stands by the hour costs whether anything runs or not: the plan prints it, so that nobody learns it from the bill.

locals {
  # List prices in us-east-1, in US dollars; other regions differ by up to a half.
  # https://aws.amazon.com/vpc/pricing/  https://aws.amazon.com/privatelink/pricing/
  prices = {
    nat_gateway_hour   = 0.045
    public_ipv4_hour   = 0.005
    endpoint_zone_hour = 0.01
  }

  # As AWS counts a month.
  hours_per_month = 730

  idle = {
    nat_gateways        = length(local.nat_zones) * local.prices.nat_gateway_hour * local.hours_per_month
    public_addresses    = length(local.nat_zones) * local.prices.public_ipv4_hour * local.hours_per_month
    interface_endpoints = (local.endpoints ? length(var.interface_services) * var.zones : 0) * local.prices.endpoint_zone_hour * local.hours_per_month
    gateway_endpoints   = 0
  }
}
