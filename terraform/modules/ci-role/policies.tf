# Reading, which both roles have: what a plan refreshes. No data is read: neither objects of the lake nor items of the
# store nor values of secrets.
data "aws_iam_policy_document" "read" {
  #checkov:skip=CKV_AWS_356: the statement ReadWithoutResource holds only actions without resource-level permission.

  statement {
    sid = "ReadOurs"
    actions = [
      "cloudwatch:DescribeAlarms", "cloudwatch:GetDashboard", "cloudwatch:ListTagsForResource",
      "dynamodb:DescribeContinuousBackups", "dynamodb:DescribeTable", "dynamodb:DescribeTimeToLive", "dynamodb:ListTagsOfResource",
      "ecr:DescribeRepositories", "ecr:GetLifecyclePolicy", "ecr:GetRepositoryPolicy", "ecr:ListTagsForResource",
      "ecs:DescribeClusters", "ecs:ListTagsForResource",
      "events:DescribeRule", "events:ListTagsForResource", "events:ListTargetsByRule",
      "lambda:GetFunction", "lambda:GetFunctionCodeSigningConfig", "lambda:GetFunctionConcurrency",
      "lambda:GetFunctionConfiguration", "lambda:GetFunctionEventInvokeConfig", "lambda:GetFunctionRecursionConfig",
      "lambda:GetPolicy", "lambda:ListTags", "lambda:ListVersionsByFunction",
      "logs:DescribeMetricFilters", "logs:ListTagsForResource",
      "scheduler:GetSchedule", "scheduler:GetScheduleGroup", "scheduler:ListTagsForResource",
      "sns:GetTopicAttributes", "sns:ListSubscriptionsByTopic", "sns:ListTagsForResource",
      "sqs:GetQueueAttributes", "sqs:GetQueueUrl", "sqs:ListQueueTags",
      "states:DescribeStateMachine", "states:ListStateMachineVersions", "states:ListTagsForResource",
      "budgets:ListTagsForResource", "budgets:ViewBudget",
      "ses:GetEmailIdentity", "ses:ListTagsForResource",
    ]
    resources = concat(
      local.ours.alarms, local.ours.dashboards, local.ours.tables, local.ours.images, local.ours.clusters, local.ours.rules,
      local.ours.functions, local.ours.logs, local.ours.schedules, local.ours.topics, local.ours.queues, local.ours.machines,
      local.ours.budgets, local.ours.mail,
    )
  }

  statement {
    sid       = "ReadRoles"
    actions   = ["iam:GetRole", "iam:GetRolePolicy", "iam:ListAttachedRolePolicies", "iam:ListInstanceProfilesForRole", "iam:ListRolePolicies"]
    resources = concat(local.ours.roles, var.task_role_arns)
  }

  statement {
    sid       = "ReadPolicies"
    actions   = ["iam:GetPolicy", "iam:GetPolicyVersion", "iam:ListPolicyVersions"]
    resources = ["arn:${local.partition}:iam::${local.account}:policy/${var.name}-ci-*"]
  }

  statement {
    sid       = "ReadProvider"
    actions   = ["iam:GetOpenIDConnectProvider"]
    resources = [local.provider]
  }

  statement {
    sid = "ReadBuckets"
    actions = [
      "s3:GetAccelerateConfiguration", "s3:GetBucket*", "s3:GetEncryptionConfiguration", "s3:GetLifecycleConfiguration",
      "s3:GetReplicationConfiguration", "s3:ListBucket",
    ]
    resources = local.ours.buckets
  }

  statement {
    sid       = "ReadDeployed"
    actions   = ["s3:GetObject", "s3:GetObjectTagging"]
    resources = ["arn:${local.partition}:s3:::${var.name}-documents-${local.account}/channels.json", "arn:${local.partition}:s3:::${var.name}-documents-${local.account}/staging/*"]
  }

  # Lists and descriptions that AWS authorizes on no resource.
  # https://docs.aws.amazon.com/service-authorization/latest/reference/reference_policies_actions-resources-contextkeys.html
  statement {
    sid = "ReadWithoutResource"
    actions = [
      "ec2:DescribeAddresses", "ec2:DescribeAddressesAttribute", "ec2:DescribeAvailabilityZones", "ec2:DescribeFlowLogs",
      "ec2:DescribeInternetGateways", "ec2:DescribeNatGateways", "ec2:DescribeNetworkInterfaces", "ec2:DescribePrefixLists",
      "ec2:DescribeRouteTables", "ec2:DescribeSecurityGroupRules", "ec2:DescribeSecurityGroups", "ec2:DescribeSubnets",
      "ec2:DescribeVpcAttribute", "ec2:DescribeVpcEndpoints", "ec2:DescribeVpcEndpointServices", "ec2:DescribeVpcs",
      "ecs:DescribeTaskDefinition", "kms:ListAliases", "lambda:GetEventSourceMapping", "lambda:ListEventSourceMappings",
      "logs:DescribeLogGroups", "secretsmanager:ListSecrets", "states:ValidateStateMachineDefinition",
    ]
    resources = ["*"]
  }

  statement {
    sid       = "DescribeKeysAndSecrets"
    actions   = ["kms:DescribeKey", "kms:GetKeyPolicy", "kms:GetKeyRotationStatus", "kms:ListResourceTags", "secretsmanager:DescribeSecret", "secretsmanager:GetResourcePolicy"]
    resources = ["${local.arn.kms}:key/*", "arn:${local.partition}:secretsmanager:${local.region}:${local.account}:secret:*"]
  }

  statement {
    sid       = "ReadState"
    actions   = ["s3:GetObject"]
    resources = ["${local.state_arn}/${var.state_key}"]
  }

  statement {
    sid       = "ListState"
    actions   = ["s3:ListBucket"]
    resources = [local.state_arn]
  }
}

resource "aws_iam_policy" "read" {
  name        = "${var.name}-ci-read"
  description = "What a plan of ${var.name} refreshes"
  policy      = data.aws_iam_policy_document.read.json
}

resource "aws_iam_role_policy_attachment" "read" {
  for_each = aws_iam_role.this

  role       = each.value.name
  policy_arn = aws_iam_policy.read.arn
}

# Writing: every statement is held to our prefix, and roles are passed only to the services that run for us.
data "aws_iam_policy_document" "write" {
  #checkov:skip=CKV_AWS_109: the deploy role makes the roles of the deployment; it can touch only roles of our prefix.
  #checkov:skip=CKV_AWS_111: the statements without a prefix are actions on a network, keys and log delivery, whose ARNs AWS makes up; each is held to our account.
  #checkov:skip=CKV_AWS_356: the same statements.
  #checkov:skip=CKV2_AWS_40: the same as CKV_AWS_109.

  statement {
    sid = "Services"
    actions = [
      "cloudwatch:DeleteAlarms", "cloudwatch:DeleteDashboards", "cloudwatch:PutDashboard", "cloudwatch:PutMetricAlarm", "cloudwatch:TagResource", "cloudwatch:UntagResource",
      "dynamodb:CreateTable", "dynamodb:DeleteTable", "dynamodb:TagResource", "dynamodb:UntagResource", "dynamodb:UpdateContinuousBackups", "dynamodb:UpdateTable", "dynamodb:UpdateTimeToLive",
      "ecr:CreateRepository", "ecr:DeleteLifecyclePolicy", "ecr:DeleteRepository", "ecr:PutImageScanningConfiguration", "ecr:PutImageTagMutability", "ecr:PutLifecyclePolicy", "ecr:TagResource", "ecr:UntagResource",
      "ecr:BatchCheckLayerAvailability", "ecr:CompleteLayerUpload", "ecr:InitiateLayerUpload", "ecr:PutImage", "ecr:UploadLayerPart", "ecr:BatchGetImage", "ecr:DescribeImages",
      "ecs:CreateCluster", "ecs:DeleteCluster", "ecs:PutClusterCapacityProviders", "ecs:TagResource", "ecs:UntagResource", "ecs:UpdateCluster",
      "events:DeleteRule", "events:PutRule", "events:PutTargets", "events:RemoveTargets", "events:TagResource", "events:UntagResource",
      "lambda:CreateFunction", "lambda:DeleteFunction", "lambda:DeleteFunctionConcurrency", "lambda:DeleteFunctionEventInvokeConfig", "lambda:InvokeFunction", "lambda:PutFunctionConcurrency", "lambda:PutFunctionEventInvokeConfig", "lambda:PutFunctionRecursionConfig", "lambda:TagResource", "lambda:UntagResource", "lambda:UpdateFunctionCode", "lambda:UpdateFunctionConfiguration",
      "logs:CreateLogGroup", "logs:DeleteLogGroup", "logs:DeleteMetricFilter", "logs:DeleteRetentionPolicy", "logs:PutMetricFilter", "logs:PutRetentionPolicy", "logs:TagResource", "logs:UntagResource", "logs:AssociateKmsKey",
      "scheduler:CreateSchedule", "scheduler:CreateScheduleGroup", "scheduler:DeleteSchedule", "scheduler:DeleteScheduleGroup", "scheduler:TagResource", "scheduler:UntagResource", "scheduler:UpdateSchedule",
      "sns:CreateTopic", "sns:DeleteTopic", "sns:SetTopicAttributes", "sns:Subscribe", "sns:TagResource", "sns:Unsubscribe", "sns:UntagResource",
      "sqs:CreateQueue", "sqs:DeleteQueue", "sqs:SetQueueAttributes", "sqs:TagQueue", "sqs:UntagQueue",
      "states:CreateStateMachine", "states:DeleteStateMachine", "states:PublishStateMachineVersion", "states:TagResource", "states:UntagResource", "states:UpdateStateMachine",
      "budgets:ModifyBudget", "budgets:TagResource", "budgets:UntagResource",
      "ses:CreateEmailIdentity", "ses:DeleteEmailIdentity", "ses:TagResource", "ses:UntagResource",
    ]
    resources = concat(
      local.ours.alarms, local.ours.dashboards, local.ours.tables, local.ours.images, local.ours.clusters, local.ours.tasks, local.ours.rules,
      local.ours.functions, local.ours.logs, local.ours.schedules, local.ours.topics, local.ours.queues, local.ours.machines,
      local.ours.budgets, local.ours.mail,
    )
  }

  statement {
    sid = "Buckets"
    actions = [
      "s3:CreateBucket", "s3:DeleteBucket", "s3:DeleteBucketPolicy", "s3:PutBucket*", "s3:PutEncryptionConfiguration",
      "s3:PutLifecycleConfiguration", "s3:PutReplicationConfiguration",
    ]
    resources = local.ours.buckets
  }

  statement {
    sid       = "Staging"
    actions   = ["s3:DeleteObject", "s3:DeleteObjectVersion", "s3:PutObject", "s3:PutObjectTagging"]
    resources = ["arn:${local.partition}:s3:::${var.name}-documents-${local.account}/channels.json", "arn:${local.partition}:s3:::${var.name}-documents-${local.account}/staging/*"]
  }

  # Roles of our prefix, but not the two of this module: a deployment cannot widen what deployments may do.
  statement {
    sid = "Roles"
    actions = [
      "iam:CreateRole", "iam:DeleteRole", "iam:DeleteRolePolicy", "iam:PutRolePolicy", "iam:TagRole", "iam:UntagRole",
      "iam:UpdateAssumeRolePolicy", "iam:UpdateRole", "iam:UpdateRoleDescription",
    ]
    resources = local.ours.roles
  }

  statement {
    sid    = "NotItself"
    effect = "Deny"
    actions = [
      "iam:AttachRolePolicy", "iam:DeleteRole", "iam:DeleteRolePolicy", "iam:DetachRolePolicy", "iam:PutRolePolicy",
      "iam:UpdateAssumeRolePolicy",
    ]
    resources = [for role in aws_iam_role.this : role.arn]
  }

  statement {
    sid       = "PassRoles"
    actions   = ["iam:PassRole"]
    resources = local.ours.roles

    condition {
      test     = "StringEquals"
      variable = "iam:PassedToService"
      values   = ["ecs-tasks.amazonaws.com", "lambda.amazonaws.com", "s3.amazonaws.com", "scheduler.amazonaws.com", "states.amazonaws.com", "vpc-flow-logs.amazonaws.com"]
    }
  }
}

# The rest of writing: a managed policy takes 6,144 characters.
# https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html
data "aws_iam_policy_document" "write_more" {
  #checkov:skip=CKV_AWS_109: keys are held to this account and the alias to our prefix.
  #checkov:skip=CKV_AWS_111: actions on a network, keys and log delivery, whose ARNs AWS makes up; each is held to our region or account.
  #checkov:skip=CKV_AWS_356: the same statements.

  # Network: ARNs hold ids that AWS makes up. Held to this region; who may change whose is told by tags in AWS's own way only
  # after creation.
  # https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonec2.html
  statement {
    sid = "Network"
    actions = [
      "ec2:AllocateAddress", "ec2:AssociateRouteTable", "ec2:AttachInternetGateway", "ec2:AuthorizeSecurityGroupEgress",
      "ec2:AuthorizeSecurityGroupIngress", "ec2:CreateFlowLogs", "ec2:CreateInternetGateway", "ec2:CreateNatGateway",
      "ec2:CreateRoute", "ec2:CreateRouteTable", "ec2:CreateSecurityGroup", "ec2:CreateSubnet", "ec2:CreateTags", "ec2:CreateVpc",
      "ec2:CreateVpcEndpoint", "ec2:DeleteFlowLogs", "ec2:DeleteInternetGateway", "ec2:DeleteNatGateway", "ec2:DeleteRoute",
      "ec2:DeleteRouteTable", "ec2:DeleteSecurityGroup", "ec2:DeleteSubnet", "ec2:DeleteTags", "ec2:DeleteVpc",
      "ec2:DeleteVpcEndpoints", "ec2:DetachInternetGateway", "ec2:DisassociateRouteTable", "ec2:ModifySecurityGroupRules",
      "ec2:ModifySubnetAttribute", "ec2:ModifyVpcAttribute", "ec2:ModifyVpcEndpoint", "ec2:ReleaseAddress",
      "ec2:RevokeSecurityGroupEgress", "ec2:RevokeSecurityGroupIngress",
    ]
    resources = ["*"]

    condition {
      test     = "StringEquals"
      variable = "aws:RequestedRegion"
      values   = [local.region]
    }
  }

  # Actions that AWS authorizes on no resource, or on ids that it makes up.
  statement {
    sid = "WithoutResource"
    actions = [
      "ecr:GetAuthorizationToken", "ecs:DeregisterTaskDefinition", "ecs:RegisterTaskDefinition",
      "kms:CreateKey", "kms:CreateAlias", "kms:TagResource", "lambda:CreateEventSourceMapping",
      "logs:CreateLogDelivery", "logs:DeleteLogDelivery", "logs:DescribeResourcePolicies", "logs:GetLogDelivery",
      "logs:ListLogDeliveries", "logs:PutResourcePolicy", "logs:UpdateLogDelivery",
    ]
    resources = ["*"]

    condition {
      test     = "StringEquals"
      variable = "aws:RequestedRegion"
      values   = [local.region]
    }
  }

  statement {
    sid       = "SourceMappings"
    actions   = ["lambda:DeleteEventSourceMapping", "lambda:UpdateEventSourceMapping"]
    resources = ["${local.arn.lambda}:event-source-mapping:*"]

    condition {
      test     = "ArnLike"
      variable = "lambda:FunctionArn"
      values   = local.ours.functions
    }
  }

  statement {
    sid       = "KeyOfThisDeployment"
    actions   = ["kms:CreateAlias", "kms:CreateGrant", "kms:DeleteAlias", "kms:EnableKeyRotation", "kms:PutKeyPolicy", "kms:ScheduleKeyDeletion", "kms:UpdateAlias", "kms:Decrypt", "kms:GenerateDataKey"]
    resources = ["${local.arn.kms}:key/*", "${local.arn.kms}:alias/${var.name}"]

    condition {
      test     = "StringEquals"
      variable = "aws:ResourceAccount"
      values   = [local.account]
    }
  }

  # Roles of others that tasks have: granted the task contract, and passed to tasks.
  dynamic "statement" {
    for_each = length(var.task_role_arns) > 0 ? [1] : []

    content {
      sid       = "GrantTaskRoles"
      actions   = ["iam:DeleteRolePolicy", "iam:PutRolePolicy"]
      resources = var.task_role_arns
    }
  }

  dynamic "statement" {
    for_each = length(var.task_role_arns) > 0 ? [1] : []

    content {
      sid       = "PassTaskRoles"
      actions   = ["iam:PassRole"]
      resources = var.task_role_arns

      condition {
        test     = "StringEquals"
        variable = "iam:PassedToService"
        values   = ["ecs-tasks.amazonaws.com"]
      }
    }
  }

  statement {
    sid       = "WriteState"
    actions   = ["s3:PutObject"]
    resources = ["${local.state_arn}/${var.state_key}", "${local.state_arn}/${var.state_key}.tflock"]
  }

  statement {
    sid       = "Unlock"
    actions   = ["s3:DeleteObject", "s3:GetObject"]
    resources = ["${local.state_arn}/${var.state_key}.tflock"]
  }
}

locals {
  written = {
    write      = data.aws_iam_policy_document.write.json
    write-more = data.aws_iam_policy_document.write_more.json
  }
}

resource "aws_iam_policy" "write" {
  for_each = local.written

  name        = "${var.name}-ci-${each.key}"
  description = "What a deployment of ${var.name} changes"
  policy      = each.value
}

resource "aws_iam_role_policy_attachment" "write" {
  for_each = local.written

  role       = aws_iam_role.this["deploy"].name
  policy_arn = aws_iam_policy.write[each.key].arn
}
