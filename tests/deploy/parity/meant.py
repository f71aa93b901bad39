"""Differences that are meant: the name of a fact, as a pattern, and the reason."""

MEANT: dict[str, str] = {
    # What makes resources, and no resource.
    "*.apply_immediately": "how the provider of Terraform makes a change; CloudFormation has no such choice",
    "database.cluster.allow_major_version_upgrade": "as above; a cluster of CloudFormation has no such attribute",
    "cache.user.passwords_wo_version": "when Terraform writes a password, which CloudFormation takes from the secret",
    "service.service.wait_for_steady_state": "CloudFormation always waits",
    "service.task[realtime].skip_destroy": "CloudFormation deletes the revision before only when the service has the new one",
    "service.service.count": "each update would set it back to this; scaling makes it the least number, as it does in Terraform, which ignores it",
    "database.instance[*].copy_tags_to_snapshot": "CloudFormation has it at the cluster alone, where it is compared",
    "accelerator.record.target_zone": "it is the same for all accelerators, and CloudFormation has no attribute for it",
    "*.secret[*].recovery_days": "CloudFormation deletes a secret so that it cannot be restored",
    "service.secret[Encrypts the secrets of stored tenants of realtime].deletion": "so this one stays, without which stored tenants cannot be read",
    # Of what functions do in CloudFormation (alone.py), and Terraform itself.
    "service.settings.Sha256": "by which the function sees a change; Terraform does by the two below",
    "service.settings.etag": "see above",
    "service.settings.tags.*": "CloudFormation tags no objects",
    # Names that CloudFormation wants or makes.
    "cache.*_group.Description": "CloudFormation requires a description; the provider of Terraform has one of its own",
    "database.*_group.*Description": "CloudFormation requires a description; the provider of Terraform has one of its own",
    "cache.parameter_group.name": "CloudFormation makes the names of parameter groups",
    "network.subnet[*].tags.aws-cdk:*": "by these the CDK finds subnets of a network that is looked up",
    "edge.certificate.tags.Name": "the CDK names certificates after their constructs",
    # What CloudFormation does in another way.
    "outputs.secrets*": "an output of CloudFormation is one text; `aws cloudformation list-stack-resources` has the secrets",
    "network.aws_default_security_group[*": "Terraform takes its rules away, in CloudFormation a function does (the two below)",
    "network.Custom::VpcRestrictDefaultSG[*": "see above",
    "custom::vpcrestrictdefaultsg*.function[*": "see above; its role is in alone.py",
    "edge.bucket.deletion": "a stack could not be deleted with a bucket that is not empty; terraform destroy ends with an error, and is repeated",
    "service.secret[Signs the tokens of clients of realtime; one secret a line].deletion": "it stays in CloudFormation, because it may be given afterwards",
    "database.lifecycle[*": "no plan of Terraform deletes the database while it is protected; a stack is protected as a whole",
}
