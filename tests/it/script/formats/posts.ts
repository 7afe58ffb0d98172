import type WAWebJS from "whatsapp-web.js";

// What JSON keeps of a type: no functions, and of an enumeration its values.
type Plain<T> = T extends string ? `${T}`
  : T extends number | boolean | null | undefined ? T
  : T extends (infer Item)[] ? Plain<Item>[]
  : T extends object ? { [Key in keyof T as T[Key] extends (...given: never[]) => unknown ? never : Key]: Plain<T[Key]> }
  : T;

type Message = Partial<Plain<WAWebJS.Message>>;

// The envelope of the gateways, and what the library hands to the listener of that name.
type Post = { sessionId: string } & (
  | { dataType: "message" | "message_create"; data: { message: Message } }
  | { dataType: "message_ack"; data: { message: Message; ack: Plain<WAWebJS.MessageAck> } }
  | { dataType: "authenticated" | "ready" }
  | { dataType: "change_state"; data: { state: `${WAWebJS.WAState}` } }
  | { dataType: "disconnected"; data: { reason: `${WAWebJS.WAState}` | "LOGOUT" } }
);

declare function take(post: Post): void;

