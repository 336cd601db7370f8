// Before node.js, which it takes as its argument: cells that declare a name by another word than an earlier cell did.
//
// V8's REPL mode lets const be declared again by const, let by let; `let x` after `const x`, or `const main` after
// `function main`, is a SyntaxError, raised before anything of the cell has run. Such a cell is run once more, in a block
// of its own; what it has declared there is declared for later cells by the word that V8 takes. Only its value is: a
// function of that cell goes on with the variables of the block.
(function (worker) {
'use strict'

function declaringAgain(vm, walk, evaluate, lexicalNames) {
  const kKeep = "globalThis[Symbol.for('execd.keep')]"
  const kMostWords = 3000
  let kept = {}
  Object.defineProperty(globalThis, Symbol.for('execd.keep'), {
    value: what => typeof what === 'string' ? kept[what] : void (kept = what)
  })
  const refused = name => `Identifier '${name}' has already been declared`
  function mayBeRefused(error) {
    try {
      return error instanceof SyntaxError && / has already been declared$/.test(error.message)
    } catch {
      return false // a proxy that throws
    }
  }
  function compiles(source) {
    try {
      new vm.Script(source)
      return true
    } catch (e) {
      return e.message
    }
  }
  // V8's own parser says it: a second declaration at the end is refused.
  const declares = (source, name) => compiles(`async () => {${source}\n;let ${name}}`) === refused(name)

  function declaredBy(source) {
    const words = new Set(source.match(/[A-Za-z_$\u0080-\uffff][\w$\u0080-\uffff]*/g))
    return words.size > kMostWords ? [] : [...words].filter(word => declares(source, word))
  }

  // A function, or var.
  const isVar = (source, name) => compiles(`async () => {${source}\n;var ${name}}`) === true

  // The error came instead of the cell: nothing of a cell is on its stack, or it is of the kind that always does.
  function isRefusal(error, source, names) {
    try {
      if (!(error instanceof SyntaxError)) return false
      const name = names.find(each => error.message === refused(each))
      if (!name) return false
      const first = String(error.stack).split('\n').find(line => /^\s+at /.test(line))
      return first === undefined || /Session\.post|node:inspector|evalmachine|\[eval\]/.test(first) ||
        (isVar(source, name) && lexicalNames().includes(name))
    } catch {
      return false
    }
  }

  // The first brace with which it is a whole function.
  function endOfFunction(source, at) {
    for (let end = at; (end = source.indexOf('}', end) + 1) > 0;)
      if (compiles(`(${source.slice(at, end)})`) === true) return end
  }

  // What would leave the block, var and functions, stays in it; functions still come first.
  function forBlock(source, names) {
    const kFunction = /(?:async\s+)?function\s*\*?\s*([\w$\u0080-\uffff]+)/y
    let first = '', rest = '', from = 0
    const put = (at, end, text) => {
      rest += source.slice(from, at) + text
      from = end
    }
    walk(source, (at, word, depth) => {
      if (depth !== 0) return
      if (word === 'var') put(at, at + 3, 'let')
      if (word !== 'async' && word !== 'function') return
      kFunction.lastIndex = at
      const name = kFunction.exec(source)?.[1]
      if (!names.includes(name) || !isVar(source, name)) return
      const end = endOfFunction(source, at)
      if (!end) return
      first += `let ${name} = ${source.slice(at, end)};`
      put(at, end, ';')
      return end
    })
    const out = first + rest + source.slice(from)
    return compiles(`async () => {${out}\n}`) === true ? out : source
  }

  async function keep(names) {
    const values = kept
    const there = {}
    for (const name of names) {
      try {
        there[name] = values[name]()
      } catch {
        continue // the cell ended before its declaration
      }
      kept = there
      for (const word of ['let', 'const', 'var']) {
        const failed = await new Promise(done => evaluate(`${word} ${name} = ${kKeep}('${name}'); undefined`, got => done('error' in got)))
        if (!failed) break
      }
    }
    kept = {}
  }

  return function evaluateCell(source, tail, answer) {
    evaluate(source + tail, got => {
      if (!('error' in got) || !mayBeRefused(got.error)) return answer(got)
      const names = declaredBy(source)
      if (!isRefusal(got.error, source, names)) return answer(got)
      const getters = names.map(name => `${name}: () => ${name}`).join(', ')
      try {
        evaluate(`{${kKeep}({${getters}});${forBlock(source, names)}\n}${tail}`, again => {
          if ('error' in again && isRefusal(again.error, source, names)) return answer(got)
          keep(names).then(() => answer(again), () => answer(again))
        })
      } catch (e) {
        answer({ error: e }) // interrupted
      }
    })
  }
}

return (...all) => worker(declaringAgain, ...all)
})(
