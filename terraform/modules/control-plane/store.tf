# The store: every run, task run, lease and gate. One table; docs/architecture.md says what its items are.
resource "aws_dynamodb_table" "store" {
  name                        = "${var.name}-store"
  billing_mode                = "PAY_PER_REQUEST"
  hash_key                    = "pk"
  range_key                   = "sk"
  deletion_protection_enabled = var.deletion_protection

  attribute {
    name = "pk"
    type = "S"
  }

  attribute {
    name = "sk"
    type = "S"
  }

  attribute {
    name = "lk"
    type = "S"
  }

  attribute {
    name = "lp"
    type = "S"
  }

  # Sparse: only items that somebody lists have `lk`.
  global_secondary_index {
    name            = "list"
    hash_key        = "lk"
    range_key       = "lp"
    projection_type = "ALL"
  }

  # Garbage collection only: no decision relies on an item having gone.
  ttl {
    attribute_name = "ttl"
    enabled        = true
  }

  point_in_time_recovery {
    enabled = var.point_in_time_recovery
  }

  server_side_encryption {
    enabled     = var.customer_key
    kms_key_arn = one(aws_kms_key.this[*].arn)
  }

  #checkov:skip=CKV_AWS_28: point-in-time recovery is a variable; prod has it on.
  #checkov:skip=CKV_AWS_119: a customer-managed key is a variable (customer_key); prod has it. Without, the table is encrypted with an AWS-owned key.
}

resource "aws_s3_bucket" "documents" {
  bucket        = local.documents_bucket
  force_destroy = var.force_destroy

  #checkov:skip=CKV_AWS_18: object-level access is recorded by CloudTrail data events where the account wants it; server access logs would double it.
  #checkov:skip=CKV_AWS_144: what must survive a region is in the build folder and in the store's backups (docs/runbooks/region-loss.md).
  #checkov:skip=CKV_AWS_145: a customer-managed key is a variable (customer_key); prod has it.
  #checkov:skip=CKV2_AWS_62: nothing waits for documents; functions read them by name.
}

resource "aws_s3_bucket_versioning" "documents" {
  bucket = aws_s3_bucket.documents.id

  versioning_configuration {
    status = "Enabled"
  }
}

resource "aws_s3_bucket_server_side_encryption_configuration" "documents" {
  bucket = aws_s3_bucket.documents.id

  rule {
    bucket_key_enabled = var.customer_key

    apply_server_side_encryption_by_default {
      sse_algorithm     = var.customer_key ? "aws:kms" : "AES256"
      kms_master_key_id = one(aws_kms_key.this[*].arn)
    }
  }
}

resource "aws_s3_bucket_public_access_block" "documents" {
  bucket                  = aws_s3_bucket.documents.id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_ownership_controls" "documents" {
  bucket = aws_s3_bucket.documents.id

  rule {
    object_ownership = "BucketOwnerEnforced"
  }
}

resource "aws_s3_bucket_lifecycle_configuration" "documents" {
  bucket = aws_s3_bucket.documents.id

  # Versions that were overwritten or expired.
  rule {
    id     = "old-versions"
    status = "Enabled"
    filter {}

    noncurrent_version_expiration {
      noncurrent_days = 30
    }

    abort_incomplete_multipart_upload {
      days_after_initiation = 7
    }
  }

  # Inputs and outputs of attempts. Plans and deployments stay: a run may be pinned to any of them.
  dynamic "rule" {
    for_each = toset(["inputs", "outputs"])

    content {
      id     = rule.key
      status = "Enabled"

      filter {
        prefix = "${rule.key}/"
      }

      expiration {
        days = var.document_retention_days
      }
    }
  }

  depends_on = [aws_s3_bucket_versioning.documents]
}

data "aws_iam_policy_document" "documents" {
  statement {
    sid       = "TlsOnly"
    effect    = "Deny"
    actions   = ["s3:*"]
    resources = [aws_s3_bucket.documents.arn, "${aws_s3_bucket.documents.arn}/*"]

    principals {
      type        = "*"
      identifiers = ["*"]
    }

    condition {
      test     = "Bool"
      variable = "aws:SecureTransport"
      values   = ["false"]
    }
  }
}

resource "aws_s3_bucket_policy" "documents" {
  bucket     = aws_s3_bucket.documents.id
  policy     = data.aws_iam_policy_document.documents.json
  depends_on = [aws_s3_bucket_public_access_block.documents]
}
