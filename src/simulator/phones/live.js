// What the page knows of the simulator, asked for again whenever something has changed there.
//
// In: the control API. Out: `live`, `open`, and a call of the drawer after each answer. Must not make elements.

/** The last state: phones, groups, codes that wait; `ahead` is how far this clock is ahead of the server's, in ms. */
export const live = { phones: [], groups: [], waiting: [], ahead: 0 };

/** By number: the chat that is open on the phone. */
export const open = new Map(Object.entries(JSON.parse(sessionStorage.getItem('open') ?? '{}')));

let draw = () => {};

/** Sets who draws; gets the messages of the open chats by number. */
export function start(drawer) {
  draw = drawer;
  // The stream says that something has changed, and once at its start; it comes back by itself when the simulator does.
  const changes = new EventSource('/control/changes');
  changes.addEventListener('message', refresh);
  changes.addEventListener('error', () => trouble('The simulator does not answer.'));
  document.addEventListener('visibilitychange', refresh);
}

/** Opens a chat on a phone, or with `undefined` its list of chats. */
export async function show(number, chat) {
  if (chat === undefined) open.delete(number);
  else open.set(number, chat);
  sessionStorage.setItem('open', JSON.stringify(Object.fromEntries(open)));
  await refresh();
}

/** Asks the control API; throws its sentence when it refuses. */
export async function ask(method, path, body) {
  const response = await fetch(`/control${path}`, { method, body: body && JSON.stringify(body) });
  const answer = await response.json().catch(() => ({}));
  if (!response.ok) throw new Error(answer.error ?? `the simulator answered ${response.status}`);
  return answer;
}

let asking = false;
let again = false;

/** Asks for everything that is shown, once at a time; what changes meanwhile is asked for right after. */
export async function refresh() {
  if (asking) {
    again = true;
    return;
  }
  asking = true;
  try {
    do {
      again = false;
      const state = await ask('GET', '/state');
      Object.assign(live, state, { ahead: Date.now() - state.now });
      const shown = live.phones.filter((phone) => open.has(phone.number));
      const logs = await Promise.all(shown.map((phone) => messages(phone.number, open.get(phone.number))));
      draw(new Map(shown.map((phone, at) => [phone.number, logs[at]])));
      trouble('');
    } while (again);
  } catch (error) {
    trouble(`The simulator does not answer (${error.message}).`);
    setTimeout(refresh, 2000);
  } finally {
    asking = false;
  }
}

const messages = (number, chat) => ask('GET', `/phones/${number}/messages?limit=300&chat=${encodeURIComponent(chat)}`);

/** What a chat is called on a phone. */
export function nameOf(id, phone) {
  const group = live.groups.find((one) => one.id === id);
  const other = live.phones.find((one) => one.wid === id);
  if (other && other.number === phone.number) return `${other.name} (you)`;
  return group?.name ?? other?.name ?? id;
}

/** Does something and shows what comes of it, or why nothing came of it. */
export async function act(what) {
  try {
    await what();
    await refresh();
  } catch (error) {
    trouble(error.message);
    setTimeout(() => trouble(''), 4000);
  }
}

function trouble(text) {
  const note = document.getElementById('trouble');
  note.textContent = text;
  note.hidden = !text;
}
