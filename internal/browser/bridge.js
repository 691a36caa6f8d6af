// The recorder's side of the page functions, in a world that the page cannot see. The recorder asks for calls one batch
// at a time, so a page that calls without end costs a short list here and nothing beyond.
(function (secret, status) {
  'use strict';
  if (globalThis.bridge) return;

  const up = secret + ' up';
  const down = secret + ' down';
  const most = 16;
  const patience = 20000; // ms; less than the recorder's, so that it never gives up on an answer with calls in it
  const inbox = [];
  let wake = null;

  const send = (text) => {
    performance.dispatchEvent(new CustomEvent(down, {detail: text, cancelable: true}));
  };
  const rouse = () => {
    if (wake) wake();
    wake = null;
  };
  performance.addEventListener(up, (event) => {
    event.preventDefault();
    if (inbox.length < most) inbox.push(String(event.detail).slice(0, 64));
    rouse();
  });

  globalThis.bridge = {
    send,
    // next answers when there are calls, when it is asked again, or with nothing after a while.
    next: async () => {
      rouse();
      if (inbox.length === 0) {
        const timer = setTimeout(rouse, patience);
        await new Promise((resolve) => { wake = resolve; });
        clearTimeout(timer);
      }
      return inbox.splice(0).join('\n');
    },
  };
  send('status ' + status);
  send('ready');
})
