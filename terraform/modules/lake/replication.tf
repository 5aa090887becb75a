# Replication to a bucket elsewhere, per bucket, with replication time control: 15 minutes is the recovery point that
# docs/runbooks/region-loss.md states. The replica is made by whoever owns the other region; it must be versioned.

data "aws_iam_policy_document" "assume_s3" {
  for_each = local.replicated

  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["s3.amazonaws.com"]
    }

    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [data.aws_caller_identity.current.account_id]
    }

    condition {
      test     = "ArnEquals"
      variable = "aws:SourceArn"
      values   = [aws_s3_bucket.this[each.key].arn]
    }
  }
}

resource "aws_iam_role" "replication" {
  for_each = local.replicated

  name               = "${substr(each.value.name, 0, 52)}-replication"
  description        = "S3, to replicate ${each.value.name}"
  assume_role_policy = data.aws_iam_policy_document.assume_s3[each.key].json
}

data "aws_iam_policy_document" "replication" {
  for_each = local.replicated

  statement {
    actions   = ["s3:GetReplicationConfiguration", "s3:ListBucket"]
    resources = [aws_s3_bucket.this[each.key].arn]
  }

  statement {
    actions   = ["s3:GetObjectVersionAcl", "s3:GetObjectVersionForReplication", "s3:GetObjectVersionTagging"]
    resources = ["${aws_s3_bucket.this[each.key].arn}/*"]
  }

  statement {
    actions   = ["s3:ReplicateDelete", "s3:ReplicateObject", "s3:ReplicateTags"]
    resources = ["${each.value.replica_bucket_arn}/*"]
  }

  dynamic "statement" {
    for_each = compact([var.key_arn])

    content {
      actions   = ["kms:Decrypt"]
      resources = [statement.value]
    }
  }

  dynamic "statement" {
    for_each = compact([each.value.replica_key_arn])

    content {
      actions   = ["kms:Encrypt"]
      resources = [statement.value]
    }
  }
}

resource "aws_iam_role_policy" "replication" {
  for_each = local.replicated

  name   = "replication"
  role   = aws_iam_role.replication[each.key].id
  policy = data.aws_iam_policy_document.replication[each.key].json
}

resource "aws_s3_bucket_replication_configuration" "this" {
  for_each = local.replicated

  bucket = aws_s3_bucket.this[each.key].id
  role   = aws_iam_role.replication[each.key].arn

  rule {
    id     = "all"
    status = "Enabled"
    filter {}

    delete_marker_replication {
      status = "Enabled"
    }

    dynamic "source_selection_criteria" {
      for_each = var.key_arn == null ? [] : [1]

      content {
        sse_kms_encrypted_objects {
          status = "Enabled"
        }
      }
    }

    destination {
      bucket        = each.value.replica_bucket_arn
      storage_class = each.value.replica_storage_class

      dynamic "encryption_configuration" {
        for_each = compact([each.value.replica_key_arn])

        content {
          replica_kms_key_id = encryption_configuration.value
        }
      }

      dynamic "metrics" {
        for_each = each.value.replica_time_control ? [15] : []

        content {
          status = "Enabled"

          event_threshold {
            minutes = metrics.value
          }
        }
      }

      dynamic "replication_time" {
        for_each = each.value.replica_time_control ? [15] : []

        content {
          status = "Enabled"

          time {
            minutes = replication_time.value
          }
        }
      }
    }
  }

  depends_on = [aws_s3_bucket_versioning.this, aws_iam_role_policy.replication]

  lifecycle {
    precondition {
      condition     = (var.key_arn == null) == (each.value.replica_key_arn == null)
      error_message = "${each.value.name} is encrypted with a key of yours, or its replica is, but not both: give key_arn and replica_key_arn together."
    }
  }
}
