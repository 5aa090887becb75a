output "dashboard" {
  description = "Name of the dashboard."
  value       = aws_cloudwatch_dashboard.this.dashboard_name
}

output "alarms" {
  description = "Names of the alarms."
  value = sort(concat(
    [for alarm in aws_cloudwatch_metric_alarm.function : alarm.alarm_name],
    [for alarm in aws_cloudwatch_metric_alarm.states_throttled : alarm.alarm_name],
    [
      aws_cloudwatch_metric_alarm.dead_letters.alarm_name,
      aws_cloudwatch_metric_alarm.finish_lost.alarm_name,
      aws_cloudwatch_metric_alarm.notices_late.alarm_name,
      aws_cloudwatch_metric_alarm.sweep_silent.alarm_name,
      aws_cloudwatch_metric_alarm.table_throttled.alarm_name,
    ],
  ))
}
