/** The host's end of the channel to the guest agent: docs/protocol/guest-channel.md. */
export {
  FakeAgent,
  type FakeAgentOptions,
  type FakeHandler,
  type FakeInstances,
} from './fake-agent.js';
export { encodeFrame, FrameDecoder, FrameType } from './frames.js';
export type { InvokeResult, StartResult } from './instance.js';
export type { FreeProof, GuestMemory, GuestNode, InstanceMemory } from './memory.js';
export {
  encodeInvoke,
  SEED_BYTES,
  type ExitInfo,
  type HandlerSpec,
  type HelloInfo,
  type InstanceSpec,
  type InvokeContext,
} from './messages.js';
export type { GuestOptions } from './options.js';
export { GuestSession } from './session.js';
