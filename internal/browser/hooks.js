// The page's side of the page functions. It runs before any script of the page, in the page's own world, in the top frame
// of every document, and of all other frames takes over the dialogs. Chrome is told of a call by the bridge (bridge.js), which lives in a world of its own: the two
// speak through events on window.performance, which unlike document and window keeps its listeners when a page calls
// document.open(). The events' names hold a secret that no script of the page can see: everything that would show it is
// taken from the untouched environment here, once.
(function (secret, taskId, initial) {
  'use strict';
  // In every frame, dialogs are answered at once and unseen. One that Chrome opens is answered too (page.go), but dims the
  // page and may stand in a picture or two before it is gone.
  self.alert = () => {};
  self.confirm = () => true;
  self.prompt = (message, suggested = '') => `${suggested}`;
  if (self !== top) return;

  const apply = Reflect.apply;
  const {CustomEvent, Error, EventTarget, Event, Promise, performance, window} = self;
  const {addEventListener, dispatchEvent} = EventTarget.prototype;
  const {preventDefault} = Event.prototype;
  const detail = Object.getOwnPropertyDescriptor(CustomEvent.prototype, 'detail').get;
  const clock = Performance.prototype.now;
  const {indexOf, slice} = String.prototype;

  const up = secret + ' up';
  const down = secret + ' down';
  // send reports whether nobody took the message.
  const send = (type, text) =>
    apply(dispatchEvent, performance, [new CustomEvent(type, {detail: text, cancelable: true})]);

  // A second copy of this script, left behind by a change of status, only brings the status.
  if (!send(down, 'status ' + initial)) return;

  let status = initial;
  const most = 8; // calls that may be open at once
  const burst = 20; // calls that may follow one another at once; a tenth of a second each after that
  const pending = {__proto__: null};
  const early = [];
  let open = 0;
  let last = 0;
  let budget = burst;
  let refilled = apply(clock, performance, []);

  const call = (name) => new Promise((resolve, reject) => {
    const now = apply(clock, performance, []);
    budget += (now - refilled) / 100;
    if (budget > burst) budget = burst;
    refilled = now;
    if (budget < 1 || open >= most) {
      reject(new Error('too many calls'));
      return;
    }
    budget--;
    open++;
    last++;
    pending[last] = {resolve, reject};
    const text = last + ' ' + name;
    if (send(up, text)) early[early.length] = text;
  });

  const settle = (id, reason) => {
    const one = pending[id];
    if (!one) return;
    delete pending[id];
    open--;
    if (reason === null) one.resolve();
    else one.reject(new Error(reason));
  };

  const setStatus = (next) => {
    if (next === status) return;
    status = next;
    apply(dispatchEvent, window, [new CustomEvent('recordhost:status', {detail: {taskId, status}})]);
  };

  // take handles 'ready', 'status S', 'ok ID' and 'no ID REASON'.
  const take = (text) => {
    const at = apply(indexOf, text, [' ']);
    const verb = at < 0 ? text : apply(slice, text, [0, at]);
    const rest = at < 0 ? '' : apply(slice, text, [at + 1]);
    if (verb === 'status') setStatus(rest);
    else if (verb === 'ok') settle(rest, null);
    else if (verb === 'no') {
      const end = apply(indexOf, rest, [' ']);
      settle(apply(slice, rest, [0, end]), apply(slice, rest, [end + 1]));
    } else if (verb === 'ready') {
      const count = early.length;
      for (let i = 0; i < count; i++) send(up, early[i]);
      early.length = 0;
    }
  };
  apply(addEventListener, performance, [down, (event) => {
    apply(preventDefault, event, []);
    take(apply(detail, event, []));
  }]);

  // Plain properties, as a page's own scripts would make them: a page that declares functions of these names runs on.
  window.startRecord = () => call('start');
  window.pauseRecord = () => call('pause');
  window.resumeRecord = () => call('resume');
  window.refreshPage = () => call('refresh');
  window.stopRecord = () => call('stop');
  window.recordhost = {taskId, get status() { return status; }};
})
