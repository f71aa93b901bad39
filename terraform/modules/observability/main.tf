# The alarms of infra/monitoring/cloudwatch-alarms.json, whose metrics the server sends itself, those of the resources that AWS
# runs (resources.tf), and the topic that receives them.

locals {
  data = jsondecode(file(coalesce(var.alarms_file, "${path.module}/../../../infra/monitoring/cloudwatch-alarms.json")))
  # Those that need something which is not there would only ever be without data.
  present = concat(["bus"], var.tenant_databases ? ["tenant_databases"] : [])
  alarms = {
    for alarm in local.data.alarms : alarm.alert => merge(alarm, {
      runbook = "${var.runbook_url}${trimprefix(alarm.runbook, "docs/runbook.md")}"
      metrics = [for metric in alarm.metrics : {
        id         = metric.id
        namespace  = var.namespace
        name       = metric.name
        statistic  = metric.statistic
        dimensions = merge(var.dimensions, try(metric.labels, {}))
      }]
    })
    if try(contains(local.present, alarm.requires), true)
  }
}

resource "aws_cloudwatch_metric_alarm" "this" {
  for_each            = merge(local.alarms, local.resource_alarms)
  alarm_name          = "${var.name}-${each.key}"
  alarm_description   = "${each.value.description}. ${each.value.runbook}"
  comparison_operator = each.value.comparison
  threshold           = each.value.threshold
  evaluation_periods  = each.value.periods
  datapoints_to_alarm = each.value.datapoints
  treat_missing_data  = each.value.missing
  alarm_actions       = [aws_sns_topic.alarms.arn]
  ok_actions          = [aws_sns_topic.alarms.arn]
  tags                = merge(var.tags, { severity = each.value.severity })

  dynamic "metric_query" {
    for_each = each.value.metrics
    content {
      id          = metric_query.value.id
      return_data = !can(each.value.expression)

      metric {
        namespace   = metric_query.value.namespace
        metric_name = metric_query.value.name
        stat        = metric_query.value.statistic
        period      = each.value.period
        dimensions  = metric_query.value.dimensions
      }
    }
  }

  dynamic "metric_query" {
    for_each = try([each.value.expression], [])
    content {
      id          = "value"
      expression  = metric_query.value
      return_data = true
    }
  }
}

resource "aws_sns_topic" "alarms" {
  name              = "${var.name}-alarms"
  kms_master_key_id = aws_kms_key.alarms.id
  tags              = var.tags
}

resource "aws_sns_topic_subscription" "email" {
  for_each  = toset(var.emails)
  topic_arn = aws_sns_topic.alarms.arn
  protocol  = "email"
  endpoint  = each.value
}

# The AWS managed key for topics cannot be used by alarms: they would change their state and notify of nothing.
resource "aws_kms_key" "alarms" {
  description             = "Alarms of ${var.name}"
  enable_key_rotation     = true
  deletion_window_in_days = 7
  policy                  = data.aws_iam_policy_document.key.json
  tags                    = var.tags
}

data "aws_caller_identity" "current" {}

data "aws_partition" "current" {}

data "aws_iam_policy_document" "key" {
  statement {
    sid       = "Account"
    actions   = ["kms:*"]
    resources = ["*"]

    principals {
      type        = "AWS"
      identifiers = ["arn:${data.aws_partition.current.partition}:iam::${data.aws_caller_identity.current.account_id}:root"]
    }
  }

  statement {
    sid       = "Alarms"
    actions   = ["kms:Decrypt", "kms:GenerateDataKey*"]
    resources = ["*"]

    principals {
      type        = "Service"
      identifiers = ["cloudwatch.amazonaws.com"]
    }

    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [data.aws_caller_identity.current.account_id]
    }
  }
}
