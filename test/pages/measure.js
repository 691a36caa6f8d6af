// What the measuring pages share. A picture of such a page can be read back out of a recording (package test/media):
//
//   row 0 (y 0 to 39):   24 blocks, each 1/32 of the width: the frame counter, lowest bit first, white is 1
//   row 1 (y 40 to 79):  24 blocks: milliseconds since the page's time origin
//   the other 8 blocks of both rows stay black, so that a blank page is not taken for a number
//   flash: the square x width-120 to width, y 100 to 219 is white while a beep is heard, black otherwise
//
// The beep is 100 ms of 1 kHz at each whole second of the audio clock, from the first second on.
// Query: silent=1 no sound; manual=1 calls startRecord() after 3 s; rate=44100 the audio clock's rate; mono=1 one channel; late=S the
// sound starts S seconds after the page.
'use strict';

const measure = (() => {
  const query = new URLSearchParams(location.search);
  const BLOCKS = 24, ROW = 40, FLASH = { x: 120, y: 100, side: 120 };
  let counter = 0;
  let audio = null;

  // beepBuffer is one second of sound with the beep at its start: looped, it beeps to the sample.
  function beepBuffer(context, channels, hertz) {
    const buffer = context.createBuffer(channels, context.sampleRate, context.sampleRate);
    for (let channel = 0; channel < channels; channel++) {
      const samples = buffer.getChannelData(channel);
      for (let i = 0; i < context.sampleRate / 10; i++) samples[i] = 0.8 * Math.sin(2 * Math.PI * hertz * i / context.sampleRate);
    }
    return buffer;
  }

  // beep starts an audio clock of its own that beeps each second, and answers its context.
  function beep({ rate, channels = 2, hertz = 1000 } = {}) {
    const context = new AudioContext(rate ? { sampleRate: rate } : undefined);
    const source = context.createBufferSource();
    source.buffer = beepBuffer(context, channels, hertz);
    source.loop = true;
    source.connect(context.destination);
    source.start(Math.floor(context.currentTime) + 1);
    return context;
  }

  // heard is the time of the audio clock that leaves the loudspeaker now, in seconds.
  function heard(context) {
    const stamp = context.getOutputTimestamp();
    if (!stamp.performanceTime) return context.currentTime;
    return stamp.contextTime + (performance.now() - stamp.performanceTime) / 1000;
  }

  function flashing() {
    if (!audio || audio.state === 'closed') return false;
    const seconds = heard(audio);
    return seconds >= 1 && seconds % 1 < 0.1;
  }

  // next is what the coming frame shows.
  function next() {
    counter++;
    const now = performance.now();
    return { counter: counter & 0xffffff, clock: Math.round(now) & 0xffffff, seconds: now / 1000, flash: flashing() };
  }

  // report tells the test something that the picture cannot hold.
  function report(event, values = {}) {
    return fetch('/report', { method: 'POST', keepalive: true, body: JSON.stringify({ page: location.pathname.slice(1), event, values }) });
  }

  // draw writes the blocks and the flash onto a canvas of that width, through its 2d context.
  function draw(context, width, shown) {
    const block = width / 32;
    context.fillStyle = '#000';
    context.fillRect(0, 0, width, 2 * ROW);
    context.fillStyle = '#fff';
    for (let bit = 0; bit < BLOCKS; bit++) {
      if (shown.counter >>> bit & 1) context.fillRect(bit * block, 0, block, ROW);
      if (shown.clock >>> bit & 1) context.fillRect(bit * block, ROW, block, ROW);
    }
    context.fillStyle = shown.flash ? '#fff' : '#000';
    context.fillRect(width - FLASH.x, FLASH.y, FLASH.side, FLASH.side);
  }

  // fill makes a canvas as large as the window, which may have become so only after the page began.
  function fill(canvas) {
    if (canvas.width !== innerWidth) canvas.width = innerWidth;
    if (canvas.height !== innerHeight) canvas.height = innerHeight;
  }

  // run draws a page of nothing but the measure on that background, for as long as it lives.
  function run(background) {
    const canvas = document.createElement('canvas');
    canvas.style.display = 'block';
    document.body.style.margin = 0;
    document.body.style.overflow = 'hidden';
    document.body.append(canvas);
    const context = canvas.getContext('2d', { alpha: false });
    const frame = () => {
      fill(canvas);
      context.fillStyle = background;
      context.fillRect(0, 2 * ROW, canvas.width, canvas.height);
      draw(context, canvas.width, next());
      requestAnimationFrame(frame);
    };
    requestAnimationFrame(frame);
  }

  // announce reports that the page is there, and its clock.
  function announce() {
    report('loaded', { origin: performance.timeOrigin, width: innerWidth, height: innerHeight, ratio: devicePixelRatio });
  }

  // start announces the page and does what the query asks for.
  function start() {
    announce();
    const sound = { rate: Number(query.get('rate')) || undefined, channels: query.has('mono') ? 1 : 2 };
    if (!query.has('silent')) setTimeout(() => { audio = beep(sound); }, 1000 * Number(query.get('late') || 0));
    if (query.has('manual')) setTimeout(() => window.startRecord && window.startRecord(), 3000);
  }

  return { query, BLOCKS, ROW, FLASH, beep, next, report, fill, draw, run, announce, start, follow(context) { audio = context; } };
})();
