// Files on their way between the host and the page, in pieces of base64: a message of CDP is text, and whole files would hold
// up everything else that is said.

// One send of a script at a time per chat, and a few chats: more wait on the host's side.
const MOST_FILES = 8;

// Id of a message that will carry it to its pieces.
const coming = new Map();
// Token to bytes that the host has yet to take.
const going = new Map();
let lastToken = 0;

function bytesOf(base64) {
  const text = atob(base64);
  const bytes = new Uint8Array(text.length);
  for (let at = 0; at < text.length; at += 1) bytes[at] = text.charCodeAt(at);
  return bytes;
}

function base64Of(bytes) {
  let text = '';
  // As many arguments as a call can have everywhere.
  for (let at = 0; at < bytes.length; at += 32768) text += String.fromCharCode(...bytes.subarray(at, at + 32768));
  return btoa(text);
}

// A piece of the file that the message `id` will carry; the first one, at 0, begins anew.
function put(id, at, base64) {
  const pieces = at === 0 ? [] : coming.get(id);
  if (!pieces) throw new Error('the file was not begun');
  const have = pieces.reduce((sum, piece) => sum + piece.length, 0);
  if (have !== at) throw new Error(`a piece of the file is missing: ${have} bytes are here, this one begins at ${at}`);
  pieces.push(bytesOf(base64));
  coming.delete(id);
  coming.set(id, pieces);
  bounded(coming, MOST_FILES);
}

const TYPES = { image: 'image', video: 'video', audio: 'audio', voice: 'audio', document: 'document', sticker: 'sticker' };

async function sendFile(id, chat, content, options) {
  const pieces = coming.get(id);
  if (!pieces) throw new Error('its file is not in the page');
  coming.delete(id);
  const { file, shape } = content;
  const type = TYPES[shape];
  // WhatsApp shows a name with documents only; the library would take it for the caption elsewhere.
  const name = file.filename || `file.${file.mimetype.split('/').pop().split(/[;+]/)[0]}`;
  return WPP.chat.sendFileMessage(chat, new File(pieces, name, { type: file.mimetype }), {
    ...options,
    type,
    mimetype: file.mimetype,
    filename: name,
    caption: content.caption || (type === 'document' ? undefined : ''),
    ...(shape === 'voice' && { isPtt: true }),
  });
}

// Loads the file of a message and keeps it for the host, which takes it piece by piece.
async function fetchFile(id, most) {
  const download = supported('chat', 'downloadMedia');
  await chatOfMessage(id);
  const model = await WPP.chat.getMessageById(id);
  const blob = await download(id);
  if (blob.size > most) throw new Error(`the file has ${blob.size} bytes; [media] max in config.toml allows ${most}`);
  const token = (lastToken += 1);
  going.set(token, new Uint8Array(await blob.arrayBuffer()));
  bounded(going, MOST_FILES);
  return {
    token,
    size: blob.size,
    mimetype: plainText(model.mimetype) || blob.type || 'application/octet-stream',
    filename: plainText(model.filename),
  };
}

function takeFile(token, at, count) {
  const bytes = going.get(token);
  if (!bytes) throw new Error('the file is not in the page any more');
  const piece = bytes.subarray(at, at + count);
  if (at + count >= bytes.length) going.delete(token);
  return base64Of(piece);
}
