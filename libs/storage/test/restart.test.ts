import { expect, test } from '@jest/globals';
import { createStorage } from '@millrace/storage';
import { eventually, startS3 } from '@millrace/testing';

test('a store that is killed is `storage_unavailable` until it is back, and keeps what it acknowledged', async () => {
  const server = await startS3();
  const storage = createStorage(server);
  try {
    const blob = await storage.putBlob(Buffer.from('kept'));
    await server.killHard();
    await expect(storage.getBlobBuffer(blob.sha256)).rejects.toMatchObject({
      code: 'storage_unavailable',
      retryable: true,
    });
    await expect(storage.checkHealth()).rejects.toMatchObject({ code: 'storage_unavailable' });
    await server.start();
    await eventually(async () => expect((await storage.getBlobBuffer(blob.sha256)).toString()).toBe('kept'), {
      timeoutMs: 20_000,
    });
  } finally {
    storage.close();
    await server.stop();
  }
}, 60_000);
