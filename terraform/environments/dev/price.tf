locals {
  # List prices in us-east-1, in US dollars a month.
  # https://aws.amazon.com/cloudwatch/pricing/  https://aws.amazon.com/kms/pricing/
  alarm_usd     = 0.10
  dashboard_usd = 3.00

  standing = {
    network   = module.network.idle_usd_month.total
    alarms    = length(flatten(module.observability[*].alarms)) * local.alarm_usd
    dashboard = length(module.observability) * local.dashboard_usd
    key       = 0
  }

  idle_usd_month = { for part, usd in merge(local.standing, { total = sum(values(local.standing)) }) : part => tonumber(format("%.2f", usd)) }
}
