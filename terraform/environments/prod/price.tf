locals {
  # List prices in us-east-1, in US dollars a month.
  # https://aws.amazon.com/cloudwatch/pricing/  https://aws.amazon.com/kms/pricing/
  alarm_usd     = 0.10
  dashboard_usd = 3.00
  key_usd       = 1.00

  standing = {
    network   = module.network.idle_usd_month.total
    alarms    = (length(module.observability.alarms) + length(module.pipelines.machines)) * local.alarm_usd
    dashboard = local.dashboard_usd
    key       = local.key_usd
  }

  idle_usd_month = { for part, usd in merge(local.standing, { total = sum(values(local.standing)) }) : part => tonumber(format("%.2f", usd)) }
}
