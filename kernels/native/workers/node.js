// The Node worker of execd's native kernel: evaluates cells, knows no Jupyter. Node 18 and newer, no packages. One
// function expression, called through node_again.js by the line in framed_worker.cpp with `require`, a function that
// imports, and whether cells are TypeScript. Its end is in node_text.js, which is read right after this file.
//
// fd 3 brings requests, fd 4 takes events, both in frames (kernels/native/framed_worker.cpp); fd 1 and 2 are pipes for
// child processes. Cells are evaluated by V8's own REPL mode, through an inspector session on this very thread: top-level
// await, and const, let and class may be declared again.
(function (declaringAgain, require, importModule, typescript) {
'use strict'
const fs = require('fs')
const inspector = require('inspector')
const Module = require('module')
const path = require('path')
const util = require('util')
const vm = require('vm')
const { Writable } = require('stream')
const { pathToFileURL } = require('url')
const { promiseHooks } = require('v8')

const kDisplay = Symbol.for('Jupyter.display')
const kTake = Symbol.for('execd.take')
const kMaxText = 1 << 20
const kMaxPiece = 4091 // a frame of PIPE_BUF goes out whole or not at all, also when SIGINT comes meanwhile

// ---- frames

function writeAll(fd, data) {
  for (let at = 0; at < data.length;) {
    try {
      at += fs.writeSync(fd, data, at)
    } catch (e) {
      if (e.code !== 'EAGAIN') process.reallyExit(1) // the cell has closed it: there is no way back
    }
  }
}
function send(kind, data) {
  const head = Buffer.allocUnsafe(5)
  head.write(kind, 0, 'latin1')
  head.writeUInt32LE(data.length, 1)
  writeAll(4, Buffer.concat([head, data]))
}
function event(values) {
  const data = Buffer.from(JSON.stringify(values))
  if (data.length <= kMaxPiece) return send('j', data)
  for (let at = 0; at < data.length; at += kMaxPiece) {
    send(at === 0 ? 'J' : at + kMaxPiece < data.length ? 'c' : 'l', data.subarray(at, at + kMaxPiece))
  }
}

// ---- streams

function stream(kind, fd) {
  const out = new Writable({
    decodeStrings: false,
    write(chunk, encoding, done) {
      const data = typeof chunk === 'string' ? Buffer.from(chunk, encoding === 'buffer' ? 'utf8' : encoding) : chunk
      for (let at = 0; at < data.length; at += kMaxPiece) send(kind, data.subarray(at, at + kMaxPiece))
      done()
    }
  })
  out.fd = fd
  out.isTTY = false
  out._type = 'pipe'
  out.writev = undefined
  return out
}
const stdout = stream('o', 1)
const stderr = stream('e', 2)
for (const [name, value] of [['stdout', stdout], ['stderr', stderr]])
  Object.defineProperty(process, name, { configurable: true, enumerable: true, value })
globalThis.console = new console.Console({ stdout, stderr })

// What a child has written to our fd 1 and 2 comes before what we say next.
const children = require('child_process')
for (const name of ['spawnSync', 'execSync', 'execFileSync']) {
  const real = children[name]
  children[name] = function (...args) {
    try {
      return real.apply(this, args)
    } finally {
      send('d', Buffer.alloc(0))
    }
  }
}

// ---- modules

function cellRequire() {
  const made = Module.createRequire(path.join(process.cwd(), '[cell]'))
  for (const folder of [path.resolve(process.execPath, '../../lib/node_modules')])
    if (!Module.globalPaths.includes(folder)) Module.globalPaths.push(folder)
  return made
}
let requireCwd
function refreshRequire() {
  let cwd
  try { cwd = process.cwd() } catch { return }
  if (cwd !== requireCwd) globalThis.require = cellRequire()
  requireCwd = cwd
}
function cellImport(specifier, options) {
  const text = String(specifier)
  if (/^\.{0,2}\//.test(text)) return importModule(pathToFileURL(path.resolve(text)).href, options)
  if (!/^[a-z-]+:/i.test(text) && !Module.isBuiltin?.(text)) {
    try {
      const found = cellRequire().resolve(text)
      if (path.isAbsolute(found)) return importModule(pathToFileURL(found).href, options)
    } catch {
      // Packages for import only, which require cannot find.
      for (const folder of Module._nodeModulePaths(process.cwd())) {
        const at = path.join(folder, text, 'package.json')
        if (!fs.existsSync(at)) continue
        const about = JSON.parse(fs.readFileSync(at, 'utf8'))
        const pick = e => typeof e === 'string' ? e : e && (pick(e['.']) || pick(e.node) || pick(e.import) || pick(e.default))
        const entry = pick(about.exports) || about.module || about.main
        if (entry) return importModule(pathToFileURL(path.join(folder, text, entry)).href, options)
      }
    }
  }
  return importModule(text, options)
}
Object.defineProperty(globalThis, '__execd_import', { value: cellImport })
Object.defineProperty(globalThis, '__execd_meta', { get: () => ({ url: pathToFileURL(process.cwd() + '/').href }) })

// ---- TypeScript

// {strip: a function} or {why: words}.
function findTypescript() {
  if (typeof Module.stripTypeScriptTypes === 'function' && process.config.variables.node_use_amaro !== false) {
    const strip = code => {
      try {
        return Module.stripTypeScriptTypes(code, { mode: 'transform' })
      } catch (e) {
        if (e.code === 'ERR_INVALID_ARG_VALUE') return Module.stripTypeScriptTypes(code)
        throw Object.assign(new SyntaxError(e.message), { stack: undefined })
      }
    }
    return { strip }
  }
  const places = [process.cwd(), path.resolve(process.execPath, '../../lib'), '/usr/lib', '/usr/local/lib', '/usr/share/nodejs']
  let about
  try {
    about = require.resolve('typescript/package.json', { paths: places })
  } catch {
    about = '/usr/share/nodejs/typescript/package.json'
  }
  let version
  try {
    version = JSON.parse(fs.readFileSync(about, 'utf8')).version
  } catch {
    return { why: `Node ${process.versions.node} cannot strip types (22.13 can) and no package 'typescript' is installed` }
  }
  // From 7 on it is a program of its own: nothing of it runs in Node.
  if (parseInt(version) > 6)
    return { why: `Node ${process.versions.node} cannot strip types (22.13 can) and the package 'typescript' ${version} is none for Node (6 is)` }
  let ts
  const strip = code => {
    ts ??= require(path.dirname(about))
    const newer = parseInt(ts.version) >= 5
    const done = ts.transpileModule(code, {
      reportDiagnostics: true,
      compilerOptions: {
        target: ts.ScriptTarget.ES2022, module: ts.ModuleKind.ESNext, removeComments: false,
        ...(newer ? { verbatimModuleSyntax: true } : { importsNotUsedAsValues: 1, preserveValueImports: true, isolatedModules: true })
      }
    })
    const bad = done.diagnostics.find(d => d.category === ts.DiagnosticCategory.Error && d.code < 2000)
    if (bad) throw Object.assign(new SyntaxError(ts.flattenDiagnosticMessageText(bad.messageText, '\n')), { stack: undefined })
    return done.outputText
  }
  return { strip }
}

// ---- evaluation

let session
let worldId
function connect() {
  session = new inspector.Session()
  session.connect()
  process.once('exit', () => session.disconnect()) // or Node waits for the debugger that we are
  session.post('Runtime.evaluate', { expression: 'globalThis' }, (e, r) => { worldId = r.result.objectId })
}
// Node handles SIGINT while a script with breakOnSigint runs, and each time it begins or ends with that there is an instant
// in which the signal would end the process. So Node's watchdog, which counts its users, is held from now on: a SIGINT that
// meets no script does nothing.
const watchdog = process.binding('contextify')
watchdog.startSigintWatchdog()

// A callback that is broken off leaves Node's stack of callbacks as it was, which Node would end itself for when the next
// one ends: as --no-force-async-hooks-checks.
const hooks = process.binding('async_wrap')
if (hooks?.constants?.kCheck in (hooks?.async_hook_fields ?? [])) hooks.async_hook_fields[hooks.constants.kCheck] = 0

let taken
Object.defineProperty(globalThis, kTake, { value: x => { taken = x } })

// The value itself of what the inspector describes.
function valueOf(remote) {
  const argument = remote.objectId ? { objectId: remote.objectId }
    : remote.unserializableValue ? { unserializableValue: remote.unserializableValue } : { value: remote.value }
  if (remote.type === 'undefined') return undefined
  taken = undefined
  session.post('Runtime.callFunctionOn', {
    objectId: worldId, functionDeclaration: "function (x) { globalThis[Symbol.for('execd.take')](x) }", arguments: [argument]
  })
  const out = taken
  taken = undefined
  return out
}

const goScript = new vm.Script("globalThis[Symbol.for('execd.go')]()")
// The promises of cells that are not over. What nobody holds, as that of a cell which awaits a promise that nobody settles,
// goes with the next garbage collection, and V8 reports that from within it: Node 22 ends there.
const unsettled = new Set()
let unbegun = false // a cell has come and not begun
let go
Object.defineProperty(globalThis, Symbol.for('execd.go'), { value: () => go() })

// Calls back once, with {value} or {error, details}; throws when SIGINT comes while the first, synchronous part runs.
function evaluate(expression, answer, extra) {
  let held
  const take = (failed, reply) => {
    unsettled.delete(held)
    if (failed) return answer({ error: Object.assign(new Error(failed.message), { code: failed.code }) })
    const { exceptionDetails: details } = reply
    if (details) return answer({ error: details.exception ? valueOf(details.exception) : new Error(details.text), details })
    answer({ value: valueOf(reply.result) })
  }
  go = () => {
    if (unbegun) event({ t: 'begin' }) // from here on SIGINT is looked for
    unbegun = false
    const stop = promiseHooks.onInit(promise => {
      stop()
      unsettled.add(held = promise)
    })
    session.post('Runtime.evaluate', { expression, replMode: true, awaitPromise: true, objectGroup: 'cell', ...extra }, take)
    stop()
  }
  const theirs = process.listenerCount('SIGINT') > 0 // a cell's: Node takes them off while a script runs
  if (theirs) watchdog.stopSigintWatchdog()
  try {
    goScript.runInThisContext({ breakOnSigint: true, displayErrors: false })
  } finally {
    if (theirs) watchdog.startSigintWatchdog()
  }
}
function lexicalNames() {
  let out = []
  session.post('Runtime.globalLexicalScopeNames', {}, (e, r) => { out = r?.names ?? [] })
  return out
}
const evaluateCell = declaringAgain(vm, walk, evaluate, lexicalNames)
const evaluated = (expression, extra) => new Promise(done => evaluate(expression, done, extra))

// ---- rich results

const kHooks = [['_repr_html_', 'text/html'], ['_repr_markdown_', 'text/markdown'], ['_repr_svg_', 'image/svg+xml'],
  ['_repr_png_', 'image/png'], ['_repr_jpeg_', 'image/jpeg'], ['_repr_latex_', 'text/latex'],
  ['_repr_json_', 'application/json'], ['_repr_javascript_', 'application/javascript'],
  ['_toHtml', 'text/html'], ['_toSvg', 'image/svg+xml'], ['_toPng', 'image/png'], ['_toJpg', 'image/jpeg'],
  ['toHtml', 'text/html']]

async function bundle(value) {
  const data = {}
  if (value !== null && (typeof value === 'object' || typeof value === 'function') && !util.types.isProxy(value)) {
    for (const name of [kDisplay, '_repr_mimebundle_', '_toMime', 'toMimeBundle']) {
      if (typeof value[name] !== 'function') continue
      const made = await value[name]()
      if (made && typeof made === 'object') Object.assign(data, made)
    }
    for (const [name, mime] of kHooks) {
      if (mime in data || typeof value[name] !== 'function') continue
      const made = await value[name]()
      if (made !== undefined && made !== null) data[mime] = made
    }
  }
  for (const [mime, made] of Object.entries(data))
    if (made instanceof Uint8Array) data[mime] = Buffer.from(made).toString('base64')
  if (!('text/plain' in data)) {
    const text = util.inspect(value)
    data['text/plain'] = text.length > kMaxText ? text.slice(0, kMaxText) + `... (${text.length} characters)` : text
  }
  return data
}

let displays = Promise.resolve() // hooks may be asynchronous; the cell ends after them
function show(data, options = {}) {
  const transient = options.display_id === undefined ? {} : { display_id: String(options.display_id) }
  event({ t: options.update ? 'update' : 'display', data, metadata: options.metadata ?? {}, transient })
}
function display(value, options = {}) {
  if (options.raw) show(value, options)
  else {
    const made = bundle(value)
    displays = displays.then(async () => show(await made, options)).catch(e => console.error(e))
    return displays
  }
}
for (const [name, mime] of [['html', 'text/html'], ['markdown', 'text/markdown'], ['svg', 'image/svg+xml'], ['latex', 'text/latex'],
  ['json', 'application/json'], ['png', 'image/png'], ['jpeg', 'image/jpeg'], ['text', 'text/plain']])
  display[name] = value => show({ [mime]: value instanceof Uint8Array ? Buffer.from(value).toString('base64') : value })
display.clear = (wait = false) => event({ t: 'clear', wait: Boolean(wait) })
Object.defineProperty(globalThis, 'display', { value: display, writable: true, configurable: true })

// ---- cells

let cell // {count, source, done}
const shared = new Int32Array(new SharedArrayBuffer(8)) // [0]: seq of the cell that runs, or 0

class Interrupted extends Error {}

// Node's own error of a broken-off script also comes out of what a cell called.
function isInterrupt(error) {
  try {
    return error instanceof Interrupted || error?.code === 'ERR_SCRIPT_EXECUTION_INTERRUPTED' ||
      (error?.code === 'ERR_INSPECTOR_COMMAND' && String(error.message).includes('Execution was terminated'))
  } catch {
    return false // a proxy that throws
  }
}

function failure(error, details, source) {
  if (isInterrupt(error))
    return { status: 'error', ename: 'KeyboardInterrupt', evalue: 'interrupted', traceback: ['KeyboardInterrupt: interrupted'] }
  let ename = 'Error', evalue = '', traceback = []
  try {
    const isError = error !== null && typeof error === 'object' && (util.types.isNativeError(error) || error instanceof Error || typeof error.stack === 'string')
    ename = isError ? String(error.name || error.constructor?.name || 'Error') : 'Error'
    evalue = isError ? String(error.message) : util.inspect(error)
    const stack = isError && typeof error.stack === 'string' ? error.stack.split('\n') : [`${ename}: ${evalue}`]
    const end = stack.findIndex(line => /^\s+at .*(Session\.post|node:inspector|evalmachine|\[eval\])/.test(line))
    traceback = end < 0 ? stack : stack.slice(0, end)
    if (ename === 'SyntaxError' && details && source !== undefined) {
      const line = source.split('\n')[details.lineNumber]
      if (line !== undefined) traceback = [`<cell>:${details.lineNumber + 1}`, line, ' '.repeat(details.columnNumber) + '^', ...traceback]
    }
  } catch {
    evalue = 'the error cannot be shown'
  }
  return { status: 'error', ename, evalue, traceback: traceback.slice(0, 200) }
}

function end(mine, reply) {
  if (cell !== mine) return // it was interrupted
  cell = undefined
  unbegun = false
  Atomics.store(shared, 0, 0)
  Atomics.notify(shared, 0)
  session.post('Runtime.releaseObjectGroup', { objectGroup: 'cell' })
  try {
    event({ t: 'done', ...reply })
  } catch (e) { // the value of an expression is nothing that JSON can say
    event({ t: 'done', ...failure(e) })
  }
}

async function succeed(mine, value) {
  const request = mine.request
  try {
    await displays
    if (value !== undefined && !request.silent) {
      const data = await bundle(value)
      if (cell !== mine) return
      event({ t: 'result', count: request.count, data, metadata: {} })
      globalThis._ = value
    }
    const user_expressions = {}
    for (const [name, expression] of Object.entries(request.user_expressions ?? {})) {
      const got = await evaluated(expression)
      user_expressions[name] = 'error' in got ? failure(got.error, got.details)
        : { status: 'ok', data: await bundle(got.value), metadata: {} }
    }
    end(mine, { status: 'ok', user_expressions })
  } catch (e) {
    end(mine, failure(e))
  }
}

function execute(request) {
  const mine = cell = { request }
  Atomics.store(shared, 0, request.seq)
  unbegun = true
  displays = Promise.resolve()
  refreshRequire()
  // A write that an interrupt has broken off never said that it is done.
  for (const out of [stdout, stderr]) if (out._writableState.writing) out._writableState.writing = false
  let source = request.code
  let finished = false
  try {
    if (strip) source = strip(source)
    source = scripted(source)
    if (!source.trim()) return end(mine, { status: 'ok' })
    // A cell that starts with a brace is an object if it can be one, as in Node's own REPL.
    let expression = source
    if (/^\s*\{/.test(source) && !/;\s*$/.test(source)) {
      try { new vm.Script(`(${source.trim()}\n)`); expression = `(${source.trim()}\n)` } catch { /* a block */ }
    }
    evaluateCell(expression, `\n//# sourceURL=<cell ${request.count}>`, got => {
      finished = true
      if (cell !== mine) return
      if ('error' in got) displays.then(() => end(mine, failure(got.error, got.details, expression)))
      else succeed(mine, got.value)
    })
    if (!finished) watchForced()
  } catch (e) {
    end(mine, failure(e, undefined, source))
  }
}

// An interrupt while something is awaited: the cell is over; what it waits for is not taken back. A second thread, made
// when a cell first awaits, hears of it by fd 6 (the cell's seq, 4 bytes), tells this one, and stops a loop behind an
// await, which the event loop runs.
let forcer
function watchForced() {
  if (forcer) return
  const { Worker } = require('worker_threads')
  forcer = new Worker(`
    const { parentPort, workerData } = require('worker_threads')
    const { Socket } = require('net'), { Session } = require('inspector')
    new Socket({ fd: 6, readable: true, writable: false }).on('data', words => {
      const seq = words.length >= 4 ? words.readInt32LE(words.length - 4) : 0
      if (seq === 0 || Atomics.load(workerData, 0) !== seq) return
      parentPort.postMessage(seq)
      if (Atomics.wait(workerData, 0, seq, 300) !== 'timed-out') return
      const session = new Session() // not before: a process.exit() would say that it waits for this debugger
      session.connectToMainThread()
      session.post('Runtime.terminateExecution', () => session.disconnect())
    }).on('error', () => {})`, { eval: true, execArgv: [], workerData: shared, stdout: false, stderr: false })
  forcer.on('message', seq => {
    if (cell?.request.seq === seq) end(cell, failure(new Interrupted()))
  })
  forcer.unref()
}

process.on('uncaughtException', e => { stderr.write(`Uncaught ${util.inspect(e)}\n`) })
process.on('unhandledRejection', e => { stderr.write(`Uncaught (in promise) ${util.inspect(e)}\n`) })

// ---- questions

const points = (code, cursor) => Array.from(code).slice(0, cursor).join('')
const kWords = ('async await break case catch class const continue debugger default delete do else export extends finally for ' +
  'function if import in instanceof let new return static super switch this throw try typeof var void while yield').split(' ')

async function complete(request) {
  const before = points(request.code, request.cursor)
  const [, head, word] = /(?:([\w$.\]["']*?)\.)?([\w$]*)$/.exec(before)
  const names = new Set()
  if (head !== undefined) {
    const got = await evaluated(head || 'undefined', { throwOnSideEffect: true, replMode: false, awaitPromise: false })
    if (!('error' in got) && got.value !== null && got.value !== undefined)
      for (let o = Object(got.value); o && !util.types.isProxy(o); o = Object.getPrototypeOf(o))
        for (const name of Object.getOwnPropertyNames(o)) names.add(name)
  } else {
    for (let o = globalThis; o; o = Object.getPrototypeOf(o)) for (const name of Object.getOwnPropertyNames(o)) names.add(name)
    lexicalNames().forEach(n => names.add(n))
    kWords.forEach(n => names.add(n))
  }
  const matches = [...names].filter(n => n.startsWith(word) && /^[\w$]+$/.test(n) && !/^__execd/.test(n)).sort().slice(0, 2000)
  return { status: 'ok', matches, cursor_start: request.cursor - word.length, cursor_end: request.cursor }
}

async function inspect(request) {
  const before = points(request.code, request.cursor)
  const name = (/[\w$.]*$/.exec(before)[0] + /^[\w$]*/.exec(request.code.slice(before.length))[0]).replace(/^\.+|\.+$/g, '')
  if (!name) return { status: 'ok', found: false, data: {} }
  const got = await evaluated(name, { throwOnSideEffect: true, replMode: false, awaitPromise: false })
  if ('error' in got) return { status: 'ok', found: false, data: {} }
  const text = typeof got.value === 'function' ? Function.prototype.toString.call(got.value) : util.inspect(got.value)
  return { status: 'ok', found: true, data: { 'text/plain': `${typeof got.value} ${name}\n${text.slice(0, kMaxText)}` } }
}

function isComplete(request) {
  let source = request.code
  const shape = walk(source, () => undefined)
  if (shape.open || shape.depth > 0) return { status: 'incomplete', indent: '  '.repeat(Math.max(shape.depth, 0)) }
  try {
    if (strip) source = strip(source)
    source = scripted(source)
  } catch {
    return { status: 'invalid' }
  }
  try {
    new vm.Script(source)
    return { status: 'complete' }
  } catch (e) {
    if (/Unexpected end of input|Unterminated template/.test(e.message)) return { status: 'incomplete', indent: '' }
  }
  try {
    new vm.Script(`(async () => {${source}\n})`)
    return { status: 'complete' }
  } catch {
    return { status: 'invalid' }
  }
}

const answers = { complete, inspect, is_complete: isComplete }
async function answer(request) {
  let reply
  try {
    reply = await answers[request.t](request)
  } catch (e) {
    reply = failure(e)
  }
  event({ t: 'done', ...reply })
}

// ---- the loop

const { strip, why } = typescript ? findTypescript() : {}
event({ t: 'hello', version: process.versions.node, refusal: why ?? '' })
connect()
refreshRequire()
for (const name of ['module', 'exports', '__filename', '__dirname']) delete globalThis[name]

const { Socket } = require('net')
const requests = new Socket({ fd: 3, readable: true, writable: false })
let pending = Buffer.alloc(0)
requests.on('data', data => {
  pending = pending.length ? Buffer.concat([pending, data]) : data
  while (pending.length >= 5) {
    const size = pending.readUInt32LE(1)
    if (pending.length < 5 + size) break
    const body = pending.subarray(5, 5 + size).toString()
    pending = pending.subarray(5 + size)
    const request = JSON.parse(body)
    if (request.t === 'execute') execute(request)
    else if (request.t in answers) answer(request)
  }
})
requests.on('end', () => process.reallyExit(0))
requests.on('error', () => process.reallyExit(1))
