"""What alarms, scaling and dashboards say of metrics."""

from forms import json_of, only, pairs
from values import Resource


def queries(each: Resource) -> object:
    """Id → metric or expression. An alarm without expressions has one metric, here under an id."""
    if each.at("metric_name"):
        return {"metric": {
            "metric": each.at("metric_name"), "namespace": each.at("namespace"), "statistic": each.at("statistic") or each.at("extended_statistic"),
            "period": each.at("period"), "dimensions": each.at("dimensions"), "is_compared": True,
        }}
    found = {}
    for query in each.at("metric_query") or []:
        only(query, "id", "metric", "expression", "return_data")
        metric = only((query.get("metric") or [{}])[0], "metric_name", "namespace", "stat", "period", "dimensions")
        found[query["id"]] = {
            "metric": metric.get("metric_name"), "namespace": metric.get("namespace"), "statistic": metric.get("stat"), "period": metric.get("period"),
            "dimensions": metric.get("dimensions"), "expression": query.get("expression"), "is_compared": query.get("return_data"),
        }
    return found


def alarm_metrics(each: Resource) -> object:
    if each.at("MetricName"):
        return {"metric": {
            "metric": each.at("MetricName"), "namespace": each.at("Namespace"), "statistic": each.at("Statistic") or each.at("ExtendedStatistic"),
            "period": each.at("Period"), "dimensions": pairs(each.at("Dimensions"), "Name", "Value"), "is_compared": True,
        }}
    found = {}
    for query in each.at("Metrics") or []:
        only(query, "Id", "MetricStat", "Expression", "ReturnData")
        stat = only(query.get("MetricStat") or {}, "Metric", "Stat", "Period")
        metric = only(stat.get("Metric") or {}, "MetricName", "Namespace", "Dimensions")
        found[query["Id"]] = {
            "metric": metric.get("MetricName"), "namespace": metric.get("Namespace"), "statistic": stat.get("Stat"), "period": stat.get("Period"),
            "dimensions": pairs(metric.get("Dimensions"), "Name", "Value"), "expression": query.get("Expression"),
            "is_compared": query.get("ReturnData", True),
        }
    return found


TRACKING = "target_tracking_scaling_policy_configuration"
CFN_TRACKING = "TargetTrackingScalingPolicyConfiguration"


def dimensions(path: str, key: str, value: str):
    return lambda each: pairs(each.at(path), key, value)


# The rows of a policy that tracks a target.
TRACKED = [
    ("target", f"{TRACKING}.target_value", f"{CFN_TRACKING}.TargetValue"),
    ("out_cooldown", f"{TRACKING}.scale_out_cooldown", f"{CFN_TRACKING}.ScaleOutCooldown"),
    ("in_cooldown", f"{TRACKING}.scale_in_cooldown", f"{CFN_TRACKING}.ScaleInCooldown"),
    ("known_metric", f"{TRACKING}.predefined_metric_specification.predefined_metric_type",
     f"{CFN_TRACKING}.PredefinedMetricSpecification.PredefinedMetricType"),
    ("metric", f"{TRACKING}.customized_metric_specification.metric_name", f"{CFN_TRACKING}.CustomizedMetricSpecification.MetricName"),
    ("metric_namespace", f"{TRACKING}.customized_metric_specification.namespace", f"{CFN_TRACKING}.CustomizedMetricSpecification.Namespace"),
    ("statistic", f"{TRACKING}.customized_metric_specification.statistic", f"{CFN_TRACKING}.CustomizedMetricSpecification.Statistic"),
    ("dimensions", dimensions(f"{TRACKING}.customized_metric_specification.dimensions", "name", "value"),
     dimensions(f"{CFN_TRACKING}.CustomizedMetricSpecification.Dimensions", "Name", "Value")),
]


def records(path: str):
    """The widgets of a dashboard, by their titles; the metrics of each, in their order."""
    def read(each: Resource) -> object:
        body = json_of(path)(each)
        return {widget["properties"]["title"]: widget for widget in body["widgets"]}
    return read
