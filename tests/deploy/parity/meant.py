"""Differences that are meant: the name of a fact, as a pattern, what Terraform and what the CDK says of it, and the reason. Any other value
is a difference.
"""

# Of a resource that only one side has.
THERE = "is there"
# A value that a change of the text or of the size changes.
ANY = object()

MEANT: dict[str, tuple[object, object, str]] = {
    # What makes resources, and no resource.
    "cache.*.apply_immediately": (True, None, "how the provider of Terraform makes a change; CloudFormation has no such choice"),
    "database.*.apply_immediately": (False, None, "as above"),
    "database.cluster.allow_major_version_upgrade": (False, None, "as above; a cluster of CloudFormation has no such attribute"),
    "cache.user.passwords_wo_version": (1, None, "when Terraform writes a password, which CloudFormation takes from the secret"),
    "*.secret[*].version.secret_string_wo_version": (1, None, "when Terraform writes the value, which CloudFormation makes with the secret"),
    "service.migration.command": (["path.module"], None, "the program that Terraform runs; a function does it in CloudFormation"),
    "service.service.wait_for_steady_state": (True, None, "CloudFormation always waits"),
    "service.task[realtime].skip_destroy": (True, None, "CloudFormation deletes the revision before only when the service has the new one"),
    "database.instance[*].copy_tags_to_snapshot": (True, None, "CloudFormation has it at the cluster alone, where it is compared"),
    "accelerator.record.target_zone": (ANY, "Z2BJ6XQ5FK7U4H", "it is the same for all accelerators, and CloudFormation has no attribute for it"),
    "*.secret[*].recovery_days": (30, 0, "CloudFormation deletes a secret so that it cannot be restored"),
    "service.secret[Encrypts the secrets of stored tenants of realtime].deletion":
        ("Delete", "Retain, RetainExceptOnCreate", "so this one stays, without which stored tenants cannot be read"),
    # Of what functions do in CloudFormation (alone.py), and Terraform itself.
    "service.settings.Sha256": (None, ANY, "by which the function sees a change; Terraform does by the two below"),
    "service.settings.etag": (ANY, None, "see above"),
    "service.settings.tags.application": ("realtime", None, "CloudFormation tags no objects"),
    # Names that CloudFormation wants or makes.
    "cache.*_group.Description": (None, "The cache of realtime", "CloudFormation requires a description; the provider of Terraform has one of its own"),
    "database.*_group.*Description": (None, "The database of realtime", "as above"),
    "cache.parameter_group.name": ("realtime-valkey8", None, "CloudFormation makes the names of parameter groups"),
    "network.subnet[*].tags.aws-cdk:*": (None, ANY, "by these the CDK finds subnets of a network that is looked up"),
    "edge.certificate.tags.Name": (None, "realtime/Edge/Certificate", "the CDK names certificates after their constructs"),
    # What CloudFormation does in another way.
    "outputs.secrets*": (ANY, None, "an output of CloudFormation is one text; `aws cloudformation list-stack-resources` has the secrets"),
    "network.aws_default_security_group[*": (THERE, None, "Terraform takes its rules away, in CloudFormation a function does (below, and in alone.py)"),
    "network.Custom::VpcRestrictDefaultSG[*": (None, THERE, "see above"),
    "edge.bucket.deletion":
        ("Delete", "Retain", "a stack could not be deleted with a bucket that is not empty; terraform destroy ends with an error, and is repeated"),
    "service.secret[Signs the tokens of clients of realtime; one secret a line].deletion":
        ("Delete", "Retain, RetainExceptOnCreate", "it stays in CloudFormation, because it may be given afterwards"),
    "database.lifecycle[*": (THERE, None, "no plan of Terraform deletes the database while it is protected; a stack is protected as a whole"),
}
