// The dialogs: add a phone, make a group, scan a code.
//
// In: the state, what people fill in. Out: calls of the control API. Must not draw phones.

import { make } from './elements.js';
import { ask, live, refresh } from './live.js';

const $ = (id) => document.getElementById(id);

/** A dialog whose form is handed to `submit`; what that throws is shown in the dialog. */
function dialog(id, submit) {
  const box = $(id);
  const form = box.querySelector('form');
  const problem = box.querySelector('.problem');
  box.querySelector('[data-close]').addEventListener('click', () => box.close());
  form.addEventListener('submit', async (event) => {
    event.preventDefault();
    problem.textContent = '';
    try {
      await submit(new FormData(form));
      box.close();
      await refresh();
    } catch (error) {
      problem.textContent = error.message;
    }
  });
  return () => {
    form.reset();
    problem.textContent = '';
    box.showModal();
  };
}

const askPhone = dialog('phone-dialog', (form) =>
  ask('POST', '/phones', { number: form.get('number'), name: form.get('name') }),
);
$('new-phone').addEventListener('click', askPhone);
$('first-phone').addEventListener('click', askPhone);

const askGroup = dialog('group-dialog', (form) =>
  ask('POST', '/groups', { name: form.get('name'), members: form.getAll('member') }),
);
$('new-group').addEventListener('click', () => {
  askGroup();
  const rows = live.phones.map((phone) =>
    make(
      'label',
      {},
      make('input', { type: 'checkbox', name: 'member', value: phone.number, checked: true }),
      `${phone.name}  +${phone.number}`,
    ),
  );
  $('members').replaceChildren(...rows);
});

let scanner = '';
const openScan = dialog('scan-dialog', (form) => ask('POST', `/phones/${scanner}/scan`, { qr: form.get('qr') }));

/** Opens the dialog that links a page to this phone. */
export function askScan(number) {
  scanner = number;
  openScan();
  drawCodes();
}

function drawCodes() {
  const phone = live.phones.find((one) => one.number === scanner);
  $('scan-who').textContent = live.waiting.length
    ? `Link ${phone?.name ?? scanner} with a page that waits:`
    : 'No page shows a code now. Open WhatsApp Web of this simulator first.';
  // A button stays while its page waits, so that a click or the focus is not lost at a redraw.
  const known = new Map([...$('codes').children].map((button) => [button.dataset.page, button]));
  const buttons = live.waiting.map((code) => {
    const button = known.get(String(code.page)) ?? codeButton(code.page);
    const left = Math.max(0, Math.ceil((code.expires_at + live.ahead - Date.now()) / 1000));
    button.dataset.ref = code.ref;
    button.firstChild.textContent = `Page ${code.page} · ${code.ref.slice(2, 10)}…`;
    button.lastChild.textContent = `${left} s`;
    return button;
  });
  if (buttons.length !== known.size || buttons.some((button) => !button.isConnected)) {
    $('codes').replaceChildren(...buttons);
  }
}

function codeButton(page) {
  const button = make('button', { type: 'button', data: { page } }, make('span'), make('small'));
  button.addEventListener('click', async () => {
    try {
      await ask('POST', `/phones/${scanner}/scan`, { ref: button.dataset.ref });
      $('scan-dialog').close();
      await refresh();
    } catch (error) {
      $('scan-dialog').querySelector('.problem').textContent = error.message;
    }
  });
  return button;
}

/** Draws the codes again while the dialog is open. */
export const drawOpenCodes = () => $('scan-dialog').open && drawCodes();

setInterval(drawOpenCodes, 1000);
