export { abandonOrphans } from './abandoned.ts';
export { PartFileRequest } from './part-plan.ts';
export type { PartAddress } from './part-transfer.ts';
export { createPartTransfer } from './part-transfer.ts';
export type { PartFile, PartUploadRow } from './part-upload.columns.ts';
export type { PartUploadRepository } from './part-upload.repository.ts';
export { createPartUploadRepository } from './part-upload.repository.ts';
export {
  addressPage,
  BEGIN_BODY_BYTES_MAX,
  COMPLETE_WAIT_MS,
  PartAddresses,
  PartFileView,
  PartPlace,
  toFileViews,
} from './part-upload.view.ts';
export type { PartUploader } from './part-uploads.ts';
export { createPartUploads } from './part-uploads.ts';
