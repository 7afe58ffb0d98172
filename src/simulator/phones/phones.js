// The page for people: shows every phone of the simulator and lets a person write on it.
//
// In: the state, whenever it has changed. Out: a card for each phone. Must not know what is in a card.

import { Card } from './card.js';
import { askScan, drawOpenCodes } from './dialogs.js';
import { live, start } from './live.js';

const $ = (id) => document.getElementById(id);
const cards = new Map();

function draw(logs) {
  $('nobody').hidden = live.phones.length > 0;
  const count = live.waiting.length;
  $('waiting').textContent = count
    ? `${count === 1 ? 'A page waits' : `${count} pages wait`} to be linked: scan on a phone`
    : '';
  for (const [number, card] of cards) {
    if (!live.phones.some((phone) => phone.number === number)) {
      card.root.remove();
      cards.delete(number);
    }
  }
  for (const phone of live.phones) {
    if (!cards.has(phone.number)) {
      const card = new Card(phone.number, askScan);
      cards.set(phone.number, card);
      $('phones').append(card.root);
    }
    cards.get(phone.number).draw(phone, logs.get(phone.number));
  }
  drawOpenCodes();
}

start(draw);
