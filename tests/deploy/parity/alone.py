"""What the CDK alone has, whole: role → fact → value, as if Terraform had it, so that whatever is more or less here is a difference.

It has functions that put config.toml into its bucket and run the migration, with their roles: CloudFormation has no resource for an
object, nor for a task that ends, and Terraform does both itself. And a security group without rules for what leaves it has one that
lets everything out, so the CDK writes one that lets nothing out.
"""

from facts import flat

# Seconds that a function may take, and how many more CloudFormation waits for its answer.
SECONDS = {"settings": 60, "migration": 900}
MARGIN = {"settings": 120, "migration": 60}
OBJECT = "{service.bucket}/config.toml"
IN_CLUSTER = {"ArnEquals": {"ecs:cluster": ["{service.cluster}"]}}
TASKS = {"on": ["arn:aws:ecs:eu-central-1:123456789012:task/{service.cluster}/*"], "when": IN_CLUSTER}
RIGHTS = {
    "settings": {"s3:PutObject": {"on": [OBJECT]}, "s3:DeleteObjectVersion": {"on": [OBJECT]}, "s3:ListBucketVersions": {"on": ["{service.bucket}"]}},
    "migration": {
        "ecs:RunTask": {"on": ["arn:aws:ecs:eu-central-1:123456789012:task-definition/realtime-migration:*"], "when": IN_CLUSTER},
        "ecs:DescribeTasks": TASKS,
        "ecs:StopTask": TASKS,
        "iam:PassRole": {"on": ["{service.role[migration]}"], "when": {"StringEquals": {"iam:PassedToService": ["ecs-tasks.amazonaws.com"]}}},
        "cloudformation:DescribeStacks": {"on": ["{AWS::StackId}"]},
    },
}
DOES = {"settings": "Puts config.toml into the bucket of the settings", "migration": "Runs the migration, and waits until it has ended"}
LOG = {action: {"on": ["{service.log_group}:*"]} for action in ("logs:CreateLogStream", "logs:PutLogEvents")}

# Of what the function is given, that of which a plan has no value: the private subnets.
GIVEN = {"settings": {}, "migration": {"Subnets": ["{network.subnet[10.0.64.0/20]}", "{network.subnet[10.0.80.0/20]}"]}}

NOTHING = {"description": "Disallow all traffic", "protocol": "icmp", "from_port": 252, "to_port": 86, "to_addresses": "255.255.255.255/32"}

# The CDK's own, which takes the rules of the default security group away.
EMPTIES = {f"Allow ec2:{verb}SecurityGroup{way}": [{"on": ["arn:aws:ec2:eu-central-1:123456789012:security-group/{network.vpc.DefaultSecurityGroup}"]}]
           for verb in ("Authorize", "Revoke") for way in ("Ingress", "Egress")}
LAMBDA = {"Allow sts:AssumeRole": [{"for": {"Service": ["lambda.amazonaws.com"]}}]}


def function(name: str) -> dict:
    return {
        "Handler": f"{name}.handler",
        "Description": DOES[name],
        "Runtime": "nodejs24.x",
        "MemorySize": 256,
        "Timeout": SECONDS[name],
        "Role": "{service.role[%s/handler]}" % name,
        "LoggingConfig": {"LogGroup": "{service.log_group}"},
        "code": ["S3Bucket", "S3Key"],
        "deletion": "Delete",
        "tags": {"application": "realtime"},
    }


def role(name: str) -> dict:
    return {
        "trust": LAMBDA,
        "may": {f"Allow {action}": [on] for action, on in (LOG | RIGHTS[name]).items()},
        "deletion": "Delete",
        "tags": {"application": "realtime"},
    }


def function_of_the_cdk() -> dict:
    return {
        "Handler": "__entrypoint__.handler",
        "Description": "Lambda function for removing all inbound/outbound rules from the VPC default security group",
        "Runtime": "nodejs24.x",
        "MemorySize": 128,
        "Timeout": 900,
        "Role": "{custom::vpcrestrictdefaultsgcustomresourceprovider.role[]}",
        "code": ["S3Bucket", "S3Key"],
        "deletion": "Delete",
    }


def resource(name: str) -> dict:
    """Of the resource that the function makes: which function, and how long CloudFormation waits for it."""
    return {"ServiceToken": "{service.function[%s/handler]}" % name, "ServiceTimeout": SECONDS[name] + MARGIN[name]} | GIVEN[name]


def role_of_the_cdk() -> dict:
    logs = "arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole"
    return {"trust": LAMBDA, "may": EMPTIES, "managed_policies": [logs], "deletion": "Delete"}


def nothing_leaves(module: str) -> dict:
    return NOTHING | {"group": "{%s.security_group}" % module, "deletion": "Delete"}


ALONE: dict[str, dict] = {
    f"{module}.egress[Disallow all traffic]": nothing_leaves(module) for module in ("database", "cache")
} | {
    "custom::vpcrestrictdefaultsgcustomresourceprovider.role[]": flat("", role_of_the_cdk()),
    "custom::vpcrestrictdefaultsgcustomresourceprovider.function[handler]": flat("", function_of_the_cdk()),
} | {
    place.format(name): flat("", what(name))
    for name in SECONDS for place, what in (("service.function[{}/handler]", function), ("service.role[{}/handler]", role), ("service.{}", resource))
}
