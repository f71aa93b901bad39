"""Mistakes in what is there: each changes a template or a state, and returns the fact that is then another one. Its text says what it is."""


def one(template: dict, kind: str, **properties: object) -> dict:
    """The only resource of the kind that has the properties."""
    found = [each for each in template["Resources"].values() if each["Type"] == kind
             and all(each["Properties"].get(name) == value for name, value in properties.items())]
    assert len(found) == 1, f"{len(found)} of {kind}"
    return found[0]["Properties"]


def container(template: dict, name: str) -> dict:
    return next(each for task in template["Resources"].values() if task["Type"] == "AWS::ECS::TaskDefinition"
                for each in task["Properties"]["ContainerDefinitions"] if each["Name"] == name)


def tls_policy(template: dict, _state: dict) -> str:
    """another TLS policy"""
    one(template, "AWS::ElasticLoadBalancingV2::Listener")["SslPolicy"] = "ELBSecurityPolicy-2016-08"
    return "edge.listener.tls_policy"


def stop_timeout(template: dict, _state: dict) -> str:
    """another stop time-out"""
    container(template, "server")["StopTimeout"] -= 1
    return "service.container[server].stopTimeout"


def variable(template: dict, _state: dict) -> str:
    """another value of a variable"""
    given = next(each for each in container(template, "server")["Environment"] if each["Name"] == "REALTIME__SERVER__DRAIN_TIMEOUT")
    given["Value"] = "61s"
    return "service.container[server].environment.REALTIME__SERVER__DRAIN_TIMEOUT"


def alarm(template: dict, _state: dict) -> str:
    """an alarm that is missing"""
    label = next(label for label, each in template["Resources"].items() if each.get("Properties", {}).get("AlarmName") == "realtime-RealtimeBusDown")
    del template["Resources"][label]
    return "observability.alarm[realtime-RealtimeBusDown]"


def threshold(template: dict, _state: dict) -> str:
    """another threshold of an alarm"""
    one(template, "AWS::CloudWatch::Alarm", AlarmName="realtime-RealtimeMemoryNearLimit")["Threshold"] = 0.9
    return "observability.alarm[realtime-RealtimeMemoryNearLimit].threshold"


def action(template: dict, _state: dict) -> str:
    """one more action that a role may do"""
    for policy in template["Resources"].values():
        if policy["Type"] == "AWS::IAM::Role":
            for each in policy["Properties"].get("Policies", []):
                statements = each["PolicyDocument"]["Statement"]
                statements[0] |= {"Action": [statements[0]["Action"], "s3:DeleteObject"]} if statements[0]["Action"] == "s3:GetObject" else {}
    return "service.role[task].may.Allow s3:DeleteObject"


def attribute(template: dict, _state: dict) -> str:
    """an attribute that only one side has"""
    one(template, "AWS::ECS::Service")["PlacementStrategies"] = [{"Type": "random"}]
    return "service.service.PlacementStrategies.Type"


def stickiness(template: dict, _state: dict) -> str:
    """an attribute of the target group that only one side has"""
    one(template, "AWS::ElasticLoadBalancingV2::TargetGroup")["TargetGroupAttributes"].append({"Key": "stickiness.enabled", "Value": "true"})
    return "edge.target_group.TargetGroupAttributes.stickiness-enabled"


def routing(template: dict, _state: dict) -> str:
    """an attribute of the load balancer that only one side has"""
    attributes = one(template, "AWS::ElasticLoadBalancingV2::LoadBalancer")["LoadBalancerAttributes"]
    attributes.append({"Key": "dns_record.client_routing_policy", "Value": "availability_zone_affinity"})
    return "edge.load_balancer.LoadBalancerAttributes.dns_record-client_routing_policy"


def condition(template: dict, _state: dict) -> str:
    """an instance of the database that is there on a condition"""
    template["Conditions"] = {"Never": {"Fn::Equals": ["a", "b"]}}
    label, found = next((label, each) for label, each in template["Resources"].items() if each["Type"] == "AWS::RDS::DBInstance")
    found["Condition"] = "Never"
    return f"fields.{label}.Condition"


def update(template: dict, _state: dict) -> str:
    """a policy of updates at the service"""
    label, service = labelled(template, "AWS::ECS::Service")
    service["UpdatePolicy"] = {"UseOnlineResharding": True}
    return f"fields.{label}.UpdatePolicy"


def migration_first(template: dict, _state: dict) -> str:
    """a service that does not wait for the migration"""
    return at_once(template, "Custom::Migration", "after_migration")


def database_first(template: dict, _state: dict) -> str:
    """a service that does not wait for the database"""
    return at_once(template, "AWS::RDS::DBInstance", "after_database")


def settings_first(template: dict, _state: dict) -> str:
    """a service that does not wait for config.toml"""
    return at_once(template, "Custom::Settings", "after_settings")


def at_once(template: dict, kind: str, fact: str) -> str:
    _, service = labelled(template, "AWS::ECS::Service")
    service["DependsOn"] = [name for name in service["DependsOn"] if template["Resources"][name]["Type"] != kind]
    return f"service.service.{fact}"


def anyone(template: dict, _state: dict) -> str:
    """a function whose role anyone may assume"""
    handler(template, "AWS::IAM::Role")["AssumeRolePolicyDocument"]["Statement"][0]["Principal"] = {"AWS": "*"}
    return "service.role[migration/handler].trust.Allow sts:AssumeRole"


def administrator(template: dict, _state: dict) -> str:
    """a function whose role may do everything"""
    handler(template, "AWS::IAM::Role")["ManagedPolicyArns"] = ["arn:aws:iam::aws:policy/AdministratorAccess"]
    return "service.role[migration/handler].managed_policies"


def passed(template: dict, _state: dict) -> str:
    """a function that may give any role to anything"""
    statement = next(each for policy in handler(template, "AWS::IAM::Role")["Policies"] for each in policy["PolicyDocument"]["Statement"]
                     if each["Action"] == "iam:PassRole")
    statement["Resource"] = "*"
    del statement["Condition"]
    return "service.role[migration/handler].may.Allow iam:PassRole"


def options(template: dict, _state: dict) -> str:
    """a variable of a function"""
    handler(template, "AWS::Lambda::Function")["Environment"] = {"Variables": {"NODE_OPTIONS": "--inspect"}}
    return "service.function[migration/handler].Environment.Variables.NODE_OPTIONS"


def function_time(template: dict, _state: dict) -> str:
    """a function that has no time for a migration"""
    handler(template, "AWS::Lambda::Function")["Timeout"] = 3
    return "service.function[migration/handler].Timeout"


def answer_time(template: dict, _state: dict) -> str:
    """a stack that does not wait until the function has ended"""
    one(template, "Custom::Migration")["ServiceTimeout"] = "60"
    return "service.migration.ServiceTimeout"


def handler(template: dict, kind: str) -> dict:
    """The role or the function that runs the migration."""
    return next(each["Properties"] for label, each in template["Resources"].items() if each["Type"] == kind and label.startswith("ServiceMigrationHandler"))


def labelled(template: dict, kind: str) -> tuple[str, dict]:
    """The only resource of the kind, with its logical id."""
    found, = ((label, each) for label, each in template["Resources"].items() if each["Type"] == kind)
    return found


def group(template: dict, _state: dict) -> str:
    """another security group that may connect to the database"""
    rule = next(each for label, each in template["Resources"].items() if each["Type"] == "AWS::EC2::SecurityGroupIngress" and label.startswith("Database"))
    rule["Properties"]["SourceSecurityGroupId"] = one(template, "AWS::ElasticLoadBalancingV2::LoadBalancer")["SecurityGroups"][0]
    return "database.ingress[PostgreSQL, from server].from_group"


def outside(template: dict, _state: dict) -> str:
    """a database that may connect to everything"""
    groups = [each["Properties"] for label, each in template["Resources"].items() if each["Type"] == "AWS::EC2::SecurityGroup" and label.startswith("Database")]
    groups[0]["SecurityGroupEgress"][0]["CidrIp"] = "0.0.0.0/0"
    return "database.egress[Disallow all traffic].to_addresses"


def retention(_template: dict, state: dict) -> str:
    """another retention of the logs, in Terraform"""
    of_terraform(state, "module.service.aws_cloudwatch_log_group.this")["retention_in_days"] = 90
    return "service.log_group.retention"


def capacity(_template: dict, state: dict) -> str:
    """another capacity of the database, in Terraform"""
    of_terraform(state, "module.database.aws_rds_cluster.this")["serverlessv2_scaling_configuration"][0]["max_capacity"] = 16
    return "database.cluster.max_capacity"


def of_terraform(state: dict, address: str) -> dict:
    modules = state["values"]["root_module"]["child_modules"]
    return next(each["values"] for module in modules for each in module["resources"] if each["address"] == address)


MISTAKES = [
    tls_policy, stop_timeout, variable, alarm, threshold, action, attribute, stickiness, routing, condition, update, migration_first,
    database_first, settings_first, anyone, administrator, passed, options, function_time, answer_time, group, outside, retention,
    capacity,
]
