// Elements that more than one part of the page is made of: ticks, faces, times.
//
// In: text and numbers. Out: elements. Must not build markup from text: messages are anybody's, and trusted types
// forbid it.

export function make(tag, props = {}, ...children) {
  const element = document.createElement(tag);
  const { on, data, ...rest } = props;
  Object.assign(element, rest);
  for (const [name, listener] of Object.entries(on ?? {})) element.addEventListener(name, listener);
  for (const [name, value] of Object.entries(data ?? {})) element.dataset[name] = value;
  element.append(...children.filter((child) => child !== null && child !== undefined && child !== ''));
  return element;
}

export function drawing(box, ...paths) {
  const svg = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
  svg.setAttribute('viewBox', box);
  svg.setAttribute('aria-hidden', 'true');
  for (const d of paths) {
    const path = document.createElementNS('http://www.w3.org/2000/svg', 'path');
    path.setAttribute('d', d);
    svg.append(path);
  }
  return svg;
}

/** One tick: the server has it; two: delivered; two in colour: read. */
export function tick(ack) {
  const paths = ack > 1 ? ['M1 6l3 3 6-7', 'M7 9l6-7'] : ['M4 6l3 3 6-7'];
  const words = ['waiting', 'sent', 'delivered', 'read'][Math.min(ack, 3)];
  return make(
    'span',
    { className: ack > 2 ? 'tick read' : 'tick', title: words, ariaLabel: words, role: 'img' },
    drawing('0 0 16 11', ...paths),
  );
}

const hue = (text) => [...text].reduce((sum, c) => (sum * 31 + c.codePointAt(0)) % 360, 7);

export function tint(element, text) {
  element.style.setProperty('--hue', hue(text));
  return element;
}

export function face(name, id, group) {
  const letters = name
    .split(/\s+/)
    .filter(Boolean)
    .slice(0, 2)
    .map((word) => [...word][0])
    .join('')
    .toUpperCase();
  return tint(make('span', { className: group ? 'face group' : 'face', ariaHidden: 'true' }, letters), id);
}

export const clock = (ms) => new Date(ms).toLocaleTimeString([], { hour: '2-digit', minute: '2-digit' });
export const day = (ms) => new Date(ms).toLocaleDateString([], { weekday: 'short', day: 'numeric', month: 'short' });
export const when = (ms) => (day(ms) === day(Date.now()) ? clock(ms) : day(ms));

/** What stands for a message in words. */
export const words = (message) => {
  if (message.type === 'revoked') return 'This message was deleted';
  return message.text || (message.media ? message.media.filename || message.type : `(${message.type})`);
};

/** The file that a message carries: a picture is shown, another is a link. */
export function carried({ media, type }) {
  if (!media) return null;
  if (type === 'image' || type === 'sticker') return make('img', { className: 'picture', src: media.url, alt: '' });
  const name = media.filename || type;
  return make('a', { className: 'file', href: media.url, download: name }, `${name} · ${Math.ceil(media.size / 1024)} KB`);
}

/** The reactions to a message, each once, with how many gave it. */
export function reactions(message) {
  const all = Object.values(message.reactions);
  if (all.length === 0) return null;
  const each = [...new Set(all)].map((emoji) => {
    const count = all.filter((other) => other === emoji).length;
    return count > 1 ? `${emoji} ${count}` : emoji;
  });
  return make('span', { className: 'reactions' }, each.join(' '));
}
