import type { DescFile, MessageInitShape } from '@bufbuild/protobuf';
import { createRegistry, toBinary } from '@bufbuild/protobuf';
import { FileDescriptorProtoSchema } from '@bufbuild/protobuf/wkt';
import { file_grpc_health_v1_health } from './generated/grpc/health/v1/health_pb.ts';
import {
  file_grpc_reflection_v1_reflection,
  ServerReflection,
  ServerReflectionRequestSchema,
  ServerReflectionResponseSchema,
} from './generated/grpc/reflection/v1/reflection_pb.ts';
import { file_inference_v2_grpc_inference_service } from './generated/inference/v2/grpc_inference_service_pb.ts';
import { pathOf, readMessage, writeMessage } from './protobuf-method.ts';
import type { Method } from './transport/grpc-server.ts';
import { plainBytes } from './transport/message-reader.ts';
import { STATUS } from './transport/status.ts';

type Reply = NonNullable<MessageInitShape<typeof ServerReflectionResponseSchema>['messageResponse']>;

const FILES: readonly DescFile[] = [
  file_inference_v2_grpc_inference_service,
  file_grpc_health_v1_health,
  file_grpc_reflection_v1_reflection,
];
const registry = createRegistry(...FILES);

/** The file that declares a service, a method of one or a message. */
function fileOf(symbol: string): DescFile | undefined {
  const owner = symbol.slice(0, Math.max(0, symbol.lastIndexOf('.')));
  const service = registry.getService(owner);
  const isMethod = service?.methods.some(({ name }) => `${owner}.${name}` === symbol) === true;
  return (registry.get(symbol) ?? (isMethod ? service : undefined))?.file;
}

function fileReply(file: DescFile | undefined, asked: string): Reply {
  if (file === undefined) {
    const errorMessage = `There is no ${asked} here.`;
    return { case: 'errorResponse', value: { errorCode: STATUS.notFound, errorMessage } };
  }
  const fileDescriptorProto = [toBinary(FileDescriptorProtoSchema, file.proto)];
  return { case: 'fileDescriptorResponse', value: { fileDescriptorProto } };
}

/** The answer to a ServerReflectionRequest, its prefix included. */
function answer(bytes: Buffer): Buffer {
  const request = readMessage(ServerReflectionRequestSchema, bytes);
  const asked = request.messageRequest;
  let messageResponse: Reply;
  if (asked.case === 'listServices') {
    const service = FILES.flatMap(({ services }) => services.map(({ typeName }) => ({ name: typeName })));
    messageResponse = { case: 'listServicesResponse', value: { service } };
  } else if (asked.case === 'fileContainingSymbol') {
    messageResponse = fileReply(fileOf(asked.value), `"${asked.value.slice(0, 100)}"`);
  } else if (asked.case === 'fileByFilename') {
    const file = FILES.find(({ proto }) => proto.name === asked.value);
    messageResponse = fileReply(file, `file "${asked.value.slice(0, 100)}"`);
  } else {
    const errorMessage = 'Ask for a file, a symbol or the list of services.';
    messageResponse = { case: 'errorResponse', value: { errorCode: STATUS.unimplemented, errorMessage } };
  }
  return writeMessage(ServerReflectionResponseSchema, {
    validHost: request.host,
    originalRequest: request,
    messageResponse,
  });
}

/** Server reflection, also under the older name that tools try; both have the same messages. */
export function reflectionMethods(messageBytesMax: number): [path: string, method: Method][] {
  const method: Method = {
    kind: 'stream',
    scope: 'models:read',
    open(call, fail) {
      let last = Promise.resolve();
      return {
        onMessage(message) {
          const bytes = plainBytes(message, call.headers['grpc-encoding'], messageBytesMax);
          last = last
            .then(async () => void call.write(answer(await bytes)))
            .catch(fail)
            .finally(() => message.release());
        },
        onEnd: () => void last.then(() => call.end()),
      };
    },
  };
  const path = pathOf(ServerReflection.method.serverReflectionInfo);
  return [
    [path, method],
    [path.replace('.v1.', '.v1alpha.'), method],
  ];
}
