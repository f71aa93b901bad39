"""The network, and what every module may have: security groups, secrets, logs, buckets."""

from forms import bucket_lifecycle, default, sorted_list, tags
from kinds.kind import Kind
from policies import statements

KINDS = [
    Kind("vpc", "aws_vpc", "AWS::EC2::VPC", [
        ("cidr", "cidr_block", "CidrBlock"),
        ("dns_support", "enable_dns_support", "EnableDnsSupport"),
        ("dns_hostnames", "enable_dns_hostnames", "EnableDnsHostnames"),
        ("tenancy", default("instance_tenancy", "default"), default("InstanceTenancy", "default")),
    ]),
    Kind("internet_gateway", "aws_internet_gateway", "AWS::EC2::InternetGateway", [
        ("vpc", "vpc_id", "AWS::EC2::VPCGatewayAttachment.VpcId"),
    ]),
    Kind("subnet", "aws_subnet", "AWS::EC2::Subnet", [
        ("cidr", "cidr_block", "CidrBlock"),
        ("vpc", "vpc_id", "VpcId"),
        ("zone", "availability_zone", "AvailabilityZone"),
        ("public_addresses", default("map_public_ip_on_launch", False), default("MapPublicIpOnLaunch", False)),
        ("routes", "routes", "routes"),
    ], key="cidr"),
    Kind("eip", "aws_eip", "AWS::EC2::EIP", [
        ("domain", "domain", "Domain"),
        ("name", "tags.Name", lambda each: tags(each).get("Name")),
    ], key="name"),
    Kind("nat", "aws_nat_gateway", "AWS::EC2::NatGateway", [
        ("subnet", "subnet_id", "SubnetId"),
        ("address", "allocation_id", "AllocationId"),
    ], key="subnet"),
    Kind("endpoint", "aws_vpc_endpoint", "AWS::EC2::VPCEndpoint", [
        ("vpc", "vpc_id", "VpcId"),
        ("service", "service_name", "ServiceName"),
        ("type", "vpc_endpoint_type", "VpcEndpointType"),
        ("subnets", sorted_list("subnets"), sorted_list("subnets")),
    ], key="service"),
    Kind("security_group", "aws_security_group", "AWS::EC2::SecurityGroup", [
        ("description", "description", "GroupDescription"),
        ("vpc", "vpc_id", "VpcId"),
    ]),
    Kind("ingress", "aws_vpc_security_group_ingress_rule", "AWS::EC2::SecurityGroupIngress", [
        ("description", "description", "Description"),
        ("group", "security_group_id", "GroupId"),
        ("protocol", "ip_protocol", "IpProtocol"),
        ("from_port", "from_port", "FromPort"),
        ("to_port", "to_port", "ToPort"),
        ("from_group", "referenced_security_group_id", "SourceSecurityGroupId"),
        ("from_addresses", "cidr_ipv4", "CidrIp"),
    ], key="description"),
    Kind("egress", "aws_vpc_security_group_egress_rule", "AWS::EC2::SecurityGroupEgress", [
        ("description", "description", "Description"),
        ("group", "security_group_id", "GroupId"),
        ("protocol", "ip_protocol", "IpProtocol"),
        ("from_port", "from_port", "FromPort"),
        ("to_port", "to_port", "ToPort"),
        ("to_addresses", "cidr_ipv4", "CidrIp"),
        ("to_group", "referenced_security_group_id", "DestinationSecurityGroupId"),
    ], key="description"),
    Kind("secret", "aws_secretsmanager_secret", "AWS::SecretsManager::Secret", [
        ("description", "description", "Description"),
        ("key", "kms_key_id", "KmsKeyId"),
        ("length", "generated.password_length", "GenerateSecretString.PasswordLength"),
        ("without_punctuation", "generated.exclude_punctuation", "GenerateSecretString.ExcludePunctuation"),
        ("recovery_days", default("recovery_window_in_days", 30), lambda _: 0),
    ], key="description"),
    Kind("log_group", "aws_cloudwatch_log_group", "AWS::Logs::LogGroup", [
        ("name", "name", "LogGroupName"),
        ("retention", "retention_in_days", "RetentionInDays"),
        ("key", "kms_key_id", "KmsKeyId"),
    ]),
    Kind("metric_filter", "aws_cloudwatch_log_metric_filter", "AWS::Logs::MetricFilter", [
        ("name", "name", "FilterName"),
        ("log_group", "log_group_name", "LogGroupName"),
        ("pattern", "pattern", "FilterPattern"),
        ("metric", "metric_transformation.name", "MetricTransformations.MetricName"),
        ("namespace", "metric_transformation.namespace", "MetricTransformations.MetricNamespace"),
        ("value", "metric_transformation.value", "MetricTransformations.MetricValue"),
        ("default", "metric_transformation.default_value", "MetricTransformations.DefaultValue"),
    ]),
    Kind("bucket", "aws_s3_bucket", "AWS::S3::Bucket", [
        ("versioning", "aws_s3_bucket_versioning.versioning_configuration.status", "VersioningConfiguration.Status"),
        ("encryption", "aws_s3_bucket_server_side_encryption_configuration.rule.apply_server_side_encryption_by_default.sse_algorithm",
         "BucketEncryption.ServerSideEncryptionConfiguration.ServerSideEncryptionByDefault.SSEAlgorithm"),
        ("block_public_acls", "aws_s3_bucket_public_access_block.block_public_acls", "PublicAccessBlockConfiguration.BlockPublicAcls"),
        ("block_public_policy", "aws_s3_bucket_public_access_block.block_public_policy", "PublicAccessBlockConfiguration.BlockPublicPolicy"),
        ("ignore_public_acls", "aws_s3_bucket_public_access_block.ignore_public_acls", "PublicAccessBlockConfiguration.IgnorePublicAcls"),
        ("restrict_public", "aws_s3_bucket_public_access_block.restrict_public_buckets", "PublicAccessBlockConfiguration.RestrictPublicBuckets"),
        ("lifecycle", bucket_lifecycle, bucket_lifecycle),
        ("policy", statements("aws_s3_bucket_policy.policy"), statements("AWS::S3::BucketPolicy.PolicyDocument")),
        ("emptied_when_deleted", default("force_destroy", False), lambda each: False),
    ]),
]
