// The WebSocket to the server: JSON frames, connected again by itself, and questions with answers.
//
// In: the handlers of PageSession. Out: PageSocket (`connect`, `send`, `query`, `ask`, `stop`), frames one after another.
// Must not start on the next frame before the session is done with the last one: what is acknowledged must be stored.
// Frames that wait are as many as the server has sent and not yet seen acknowledged; a lost connection drops them.
//
// Sources: our own protocol (the real one is binary and encrypted). That the page connects again by itself with a
// growing pause is known of the real one; the numbers are assumed.
'use strict';

__d('PageSocket', [], (_global, _require, _import, _module, exports) => {
  const FIRST_PAUSE_MS = 250;
  const LONGEST_PAUSE_MS = 5000;
  const ANSWER_MS = 10_000;

  let socket = null;
  let handlers = null;
  let pause = FIRST_PAUSE_MS;
  let timer = null;
  let wanted = false;
  let lastQuestion = 0;
  const questions = new Map();

  /** `handlers`: onConnecting(), hello() gives the first frame, onFrames(list) is awaited, onClosed(). */
  exports.connect = (given) => {
    handlers = given ?? handlers;
    wanted = true;
    open();
  };

  /** Closes and stays closed; `onClosed` is not called. */
  exports.stop = () => {
    wanted = false;
    clearTimeout(timer);
    const old = socket;
    socket = null;
    old?.close();
    failQuestions();
  };

  /** Drops the connection and makes a new one. */
  exports.restart = () => {
    exports.stop();
    handlers.onClosed();
    exports.connect();
  };

  /** Whether the frame was handed to an open connection. */
  exports.send = (frame) => {
    if (socket?.readyState !== WebSocket.OPEN) return false;
    socket.send(JSON.stringify(frame));
    return true;
  };

  exports.query = (what, values) => exports.ask('query', { what, ...values });

  /** Sends a frame with a number, and waits for the `answer` with that number. */
  exports.ask = (op, values) =>
    new Promise((resolve, reject) => {
      lastQuestion += 1;
      const id = lastQuestion;
      const end = (settle, value) => {
        clearTimeout(deadline);
        questions.delete(id);
        settle(value);
      };
      const deadline = setTimeout(() => end(reject, new Error(`no answer to ${op}`)), ANSWER_MS);
      questions.set(id, { answer: (frame) => end(resolve, frame), fail: (error) => end(reject, error) });
      if (!exports.send({ op, id, ...values })) {
        end(reject, new Error(`not connected, cannot ask for ${op}`));
      }
    });

  function open() {
    clearTimeout(timer);
    if (socket) return;
    handlers.onConnecting();
    const mine = new WebSocket(`${location.protocol === 'https:' ? 'wss' : 'ws'}://${location.host}/ws`);
    const frames = [];
    let working = false;
    let closed = false;
    socket = mine;

    mine.onopen = () => mine.send(JSON.stringify(handlers.hello()));
    mine.onmessage = (event) => {
      const frame = JSON.parse(event.data);
      if (frame.op === 'answer') {
        questions.get(frame.id)?.answer(frame);
        return;
      }
      frames.push(frame);
      if (!working) void work();
    };
    mine.onclose = () => {
      closed = true;
      if (!working) end();
    };

    /** Frames of one kind that wait together are given together. Those that came before the end count. */
    async function work() {
      working = true;
      try {
        while (frames.length && socket === mine) {
          pause = FIRST_PAUSE_MS;
          const other = frames.findIndex((frame) => frame.op !== frames[0].op);
          await handlers.onFrames(frames.splice(0, other === -1 ? frames.length : other));
        }
      } catch (error) {
        console.error(error);
        frames.length = 0; // what was not acknowledged comes again
        mine.close();
      }
      working = false;
      if (closed) end();
    }

    function end() {
      if (socket !== mine) return;
      socket = null;
      failQuestions();
      handlers.onClosed();
      if (!wanted) return;
      timer = setTimeout(open, pause * (0.75 + Math.random() / 2));
      pause = Math.min(pause * 2, LONGEST_PAUSE_MS);
    }
  }

  function failQuestions() {
    for (const { fail } of [...questions.values()]) fail(new Error('the connection was lost'));
  }
});
