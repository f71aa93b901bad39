"""Tasks: what they consist of, what they may do, and how many there are."""

from forms import after, default, least, lines, names, scaled, settings, sorted_list
from kinds.kind import Kind
from metrics import TRACKED
from policies import grants, managed, trust

KINDS = [
    Kind("cluster", "aws_ecs_cluster", "AWS::ECS::Cluster", [
        ("name", "name", "ClusterName"),
        ("settings", settings, settings),
    ]),
    Kind("role", "aws_iam_role", "AWS::IAM::Role", [
        ("trust", trust, trust),
        ("may", grants, grants),
        ("managed_policies", default("managed_policy_arns", None), managed),
    ], key="@"),
    Kind("task", "aws_ecs_task_definition", "AWS::ECS::TaskDefinition", [
        ("family", "family", "Family"),
        ("cpu", "cpu", "Cpu"),
        ("memory", "memory", "Memory"),
        ("network_mode", "network_mode", "NetworkMode"),
        ("launch_types", "requires_compatibilities", "RequiresCompatibilities"),
        ("role", "task_role_arn", "TaskRoleArn"),
        ("execution_role", "execution_role_arn", "ExecutionRoleArn"),
        ("system", "runtime_platform.operating_system_family", "RuntimePlatform.OperatingSystemFamily"),
        ("architecture", "runtime_platform.cpu_architecture", "RuntimePlatform.CpuArchitecture"),
        ("volumes", names("volume", "name"), names("Volumes", "Name")),
    ], key="family"),
    Kind("container", "container", "container", [
        # A line for each secret, in any order.
        ("environment.SECRETS", lines("environment.SECRETS"), lines("environment.SECRETS")),
    ], key="@"),
    Kind("settings", "aws_s3_object", "Custom::Settings", [
        ("bucket", "bucket", "Bucket"),
        ("key", "key", "Key"),
        ("text", "content", "Content"),
        ("after_migration", after("terraform_data"), after("Custom::Migration")),
    ]),
    Kind("migration", "terraform_data", "Custom::Migration", [
        ("runs_for", "triggers_replace", lambda each: [each.at("TaskDefinition")]),
        ("after_database", after("aws_rds_cluster_instance"), after("AWS::RDS::DBInstance")),
        # Without a way out there is no image. In CloudFormation it is part of the group.
        ("after_egress", after("aws_vpc_security_group_egress_rule", "service"), lambda _: True),
        ("uses", sorted_list("uses"), lambda each: sorted(each.at(name) for name in ("Cluster", "LogGroup", "SecurityGroup", "TaskDefinition"))),
    ]),
    # In the CDK alone (alone.py). The key of the code is another after each change.
    Kind("function", "", "AWS::Lambda::Function", [
        ("code", "", lambda each: sorted(each.at("Code"))),
    ], key="@"),
    Kind("service", "aws_ecs_service", "AWS::ECS::Service", [
        ("name", "name", "ServiceName"),
        ("cluster", "cluster", "Cluster"),
        ("task", "task_definition", "TaskDefinition"),
        ("after_migration", after("terraform_data"), after("Custom::Migration")),
        # In CloudFormation both are part of what the task definition refers to.
        ("after_secrets", after("aws_secretsmanager_secret_version", "service"), lambda _: True),
        ("after_policies", after("aws_iam_role_policy", "service"), lambda _: True),
        ("after_settings", after("aws_s3_object"), after("Custom::Settings")),
        ("after_database", after("aws_rds_cluster_instance"), after("AWS::RDS::DBInstance")),
        ("after_cache", after("aws_elasticache_replication_group"), after("AWS::ElastiCache::ReplicationGroup")),
        ("after_listener", after("aws_lb_listener"), after("AWS::ElasticLoadBalancingV2::Listener")),
        ("launch_type", "launch_type", "LaunchType"),
        ("platform_version", "platform_version", default("PlatformVersion", "LATEST")),
        # Each update would set it back to a number; Terraform ignores that it has changed.
        ("count", "desired_count", least),
        ("min_healthy_percent", "deployment_minimum_healthy_percent", "DeploymentConfiguration.MinimumHealthyPercent"),
        ("max_percent", "deployment_maximum_percent", "DeploymentConfiguration.MaximumPercent"),
        ("circuit_breaker", "deployment_circuit_breaker.enable", "DeploymentConfiguration.DeploymentCircuitBreaker.Enable"),
        ("rollback", "deployment_circuit_breaker.rollback", "DeploymentConfiguration.DeploymentCircuitBreaker.Rollback"),
        ("alarms", "alarms.alarm_names", "DeploymentConfiguration.Alarms.AlarmNames"),
        ("alarms_fail", "alarms.enable", "DeploymentConfiguration.Alarms.Enable"),
        ("alarms_roll_back", "alarms.rollback", "DeploymentConfiguration.Alarms.Rollback"),
        ("grace_period", "health_check_grace_period_seconds", "HealthCheckGracePeriodSeconds"),
        ("exec", "enable_execute_command", default("EnableExecuteCommand", False)),
        ("propagate_tags", "propagate_tags", "PropagateTags"),
        ("managed_tags", default("enable_ecs_managed_tags", False), default("EnableECSManagedTags", False)),
        ("subnets", sorted_list("network_configuration.subnets"), sorted_list("NetworkConfiguration.AwsvpcConfiguration.Subnets")),
        ("security_groups", "network_configuration.security_groups", "NetworkConfiguration.AwsvpcConfiguration.SecurityGroups"),
        ("public_address", lambda each: "ENABLED" if each.at("network_configuration.assign_public_ip") else "DISABLED",
         "NetworkConfiguration.AwsvpcConfiguration.AssignPublicIp"),
        ("target_group", "load_balancer.target_group_arn", "LoadBalancers.TargetGroupArn"),
        ("container", "load_balancer.container_name", "LoadBalancers.ContainerName"),
        ("container_port", "load_balancer.container_port", "LoadBalancers.ContainerPort"),
        ("zone_rebalancing", default("availability_zone_rebalancing", "DISABLED"), default("AvailabilityZoneRebalancing", "DISABLED")),
    ]),
    Kind("scaling", "aws_appautoscaling_target", "AWS::ApplicationAutoScaling::ScalableTarget", [
        ("resource", "resource_id", "ResourceId"),
        ("dimension", "scalable_dimension", "ScalableDimension"),
        ("namespace", "service_namespace", "ServiceNamespace"),
        ("min", "min_capacity", "MinCapacity"),
        ("max", "max_capacity", "MaxCapacity"),
    ]),
    Kind("scaling_policy", "aws_appautoscaling_policy", "AWS::ApplicationAutoScaling::ScalingPolicy", [
        ("name", "name", "PolicyName"),
        ("type", "policy_type", "PolicyType"),
        ("scales", scaled, "ScalingTargetId"),
        *TRACKED,
    ], key="name"),
]
