"""Alarms, who receives them, and the dashboard."""

from kinds.kind import Kind
from metrics import alarm_metrics, queries, records
from policies import statements

KINDS = [
    Kind("topic", "aws_sns_topic", "AWS::SNS::Topic", [
        ("name", "name", "TopicName"),
        ("key", "kms_master_key_id", "KmsMasterKeyId"),
    ]),
    Kind("key", "aws_kms_key", "AWS::KMS::Key", [
        ("description", "description", "Description"),
        ("rotation", "enable_key_rotation", "EnableKeyRotation"),
        ("deletion_days", "deletion_window_in_days", "PendingWindowInDays"),
        ("policy", statements("policy"), statements("KeyPolicy")),
    ]),
    Kind("alarm", "aws_cloudwatch_metric_alarm", "AWS::CloudWatch::Alarm", [
        ("name", "alarm_name", "AlarmName"),
        ("description", "alarm_description", "AlarmDescription"),
        ("comparison", "comparison_operator", "ComparisonOperator"),
        ("threshold", "threshold", "Threshold"),
        ("periods", "evaluation_periods", "EvaluationPeriods"),
        ("datapoints", "datapoints_to_alarm", "DatapointsToAlarm"),
        ("missing_data", "treat_missing_data", "TreatMissingData"),
        ("actions", "alarm_actions", "AlarmActions"),
        ("ok_actions", "ok_actions", "OKActions"),
        ("metrics", queries, alarm_metrics),
    ], key="name"),
    Kind("dashboard", "aws_cloudwatch_dashboard", "AWS::CloudWatch::Dashboard", [
        ("name", "dashboard_name", "DashboardName"),
        ("widgets", records("dashboard_body"), records("DashboardBody")),
    ]),
]
