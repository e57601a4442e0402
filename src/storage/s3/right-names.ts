/** The rights that requests need, as policies name them (Amazon Service Authorization Reference), by the name of the command. */
const RIGHTS: Readonly<Record<string, string>> = {
  AbortMultipartUpload: 's3:AbortMultipartUpload',
  CompleteMultipartUpload: 's3:PutObject',
  CopyObject: 's3:PutObject, or s3:GetObject on its source',
  CreateBucket: 's3:CreateBucket',
  CreateMultipartUpload: 's3:PutObject',
  DeleteObject: 's3:DeleteObject',
  GetBucketEncryption: 's3:GetEncryptionConfiguration',
  GetBucketLifecycleConfiguration: 's3:GetLifecycleConfiguration',
  GetBucketPolicyStatus: 's3:GetBucketPolicyStatus',
  GetBucketVersioning: 's3:GetBucketVersioning',
  GetObject: 's3:GetObject',
  GetObjectAcl: 's3:GetObjectAcl',
  GetObjectLockConfiguration: 's3:GetBucketObjectLockConfiguration',
  GetObjectTagging: 's3:GetObjectTagging',
  GetPublicAccessBlock: 's3:GetBucketPublicAccessBlock',
  HeadBucket: 's3:ListBucket',
  HeadObject: 's3:GetObject',
  ListMultipartUploads: 's3:ListBucketMultipartUploads',
  ListObjectVersions: 's3:ListBucketVersions',
  ListObjectsV2: 's3:ListBucket',
  ListParts: 's3:ListMultipartUploadParts',
  PutBucketEncryption: 's3:PutEncryptionConfiguration',
  PutBucketLifecycleConfiguration: 's3:PutLifecycleConfiguration',
  PutBucketVersioning: 's3:PutBucketVersioning',
  PutObject: 's3:PutObject',
  PutObjectAcl: 's3:PutObjectAcl',
  PutObjectLockConfiguration: 's3:PutBucketObjectLockConfiguration',
  PutObjectTagging: 's3:PutObjectTagging',
  PutPublicAccessBlock: 's3:PutBucketPublicAccessBlock',
  RestoreObject: 's3:RestoreObject',
  UploadPart: 's3:PutObject',
  UploadPartCopy: 's3:PutObject, or s3:GetObject on its source',
};

/** Those that are another right for an old version. */
const OF_VERSIONS: Readonly<Record<string, string>> = {
  DeleteObject: 's3:DeleteObjectVersion',
  GetObject: 's3:GetObjectVersion',
  GetObjectAcl: 's3:GetObjectVersionAcl',
  GetObjectTagging: 's3:GetObjectVersionTagging',
  HeadObject: 's3:GetObjectVersion',
};

/** What a policy has to allow for a request; undefined for one that is not known here. */
export function rightOf(command: object): string | undefined {
  const name = command.constructor.name.replace(/Command$/, '');
  const input: unknown = 'input' in command ? command.input : undefined;
  const asked = (field: string): unknown => (input as Readonly<Record<string, unknown>> | null)?.[field];
  if (asked('VersionId') !== undefined) return OF_VERSIONS[name] ?? RIGHTS[name];
  if (String(asked('CopySource') ?? '').includes('?versionId='))
    return RIGHTS[name]?.replace('s3:GetObject', 's3:GetObjectVersion');
  return RIGHTS[name];
}
