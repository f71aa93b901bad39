"""Mistakes that matter when something is deployed, replaced or deleted, as in mistakes.py."""

from mistakes import labelled, of_terraform, one


def revision(_template: dict, state: dict) -> str:
    """a task definition that is deregistered before the service has changed, in Terraform"""
    of_terraform(state, "module.service.aws_ecs_task_definition.server")["skip_destroy"] = False
    return "service.task[realtime].skip_destroy"


def unnoticed(_template: dict, state: dict) -> str:
    """an apply that ends before the deployment, in Terraform"""
    of_terraform(state, "module.service.aws_ecs_service.this")["wait_for_steady_state"] = False
    return "service.service.wait_for_steady_state"


def without_tasks(_template: dict, state: dict) -> str:
    """a service without tasks, in Terraform"""
    of_terraform(state, "module.service.aws_ecs_service.this")["desired_count"] = 0
    return "service.service.count"


def key_of_tenants(template: dict, _state: dict) -> str:
    """a key of tenants that is deleted when it is replaced"""
    secret = next(each for each in template["Resources"].values() if each["Type"] == "AWS::SecretsManager::Secret"
                  and each["Properties"]["Description"].startswith("Encrypts"))
    secret["UpdateReplacePolicy"] = "Delete"
    return f"service.secret[{secret['Properties']['Description']}].deletion"


def snapshot(template: dict, _state: dict) -> str:
    """a database that is replaced without a snapshot"""
    _, cluster = labelled(template, "AWS::RDS::DBCluster")
    cluster.pop("UpdateReplacePolicy")
    return "database.cluster.deletion"


def options_of_the_cdk(template: dict, _state: dict) -> str:
    """a variable of the function of the CDK itself"""
    function = next(each for label, each in template["Resources"].items() if label.startswith("CustomVpcRestrict") and each["Type"] == "AWS::Lambda::Function")
    function["Properties"]["Environment"] = {"Variables": {"NODE_OPTIONS": "--inspect"}}
    return "custom::vpcrestrictdefaultsgcustomresourceprovider.function[handler].Environment.Variables.NODE_OPTIONS"


def logs_first(template: dict, _state: dict) -> str:
    """a load balancer that does not wait until it may write its logs"""
    _, balancer = labelled(template, "AWS::ElasticLoadBalancingV2::LoadBalancer")
    balancer["DependsOn"] = [name for name in balancer["DependsOn"] if template["Resources"][name]["Type"] != "AWS::S3::BucketPolicy"]
    return "edge.load_balancer.after_access_policy"


def alarms_of_deployments(template: dict, _state: dict) -> str:
    """a deployment that its alarm does not roll back"""
    one(template, "AWS::ECS::Service")["DeploymentConfiguration"]["Alarms"]["Rollback"] = False
    return "service.service.alarms_roll_back"


def export(template: dict, _state: dict) -> str:
    """an output that is exported"""
    template["Outputs"]["Endpoint"]["Export"] = {"Name": "endpoint"}
    return "fields.Endpoint.Export"


MISTAKES_LATER = [
    revision, unnoticed, without_tasks, key_of_tenants, snapshot, options_of_the_cdk, logs_first, alarms_of_deployments, export,
]
