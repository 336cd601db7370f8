// Second part of the Node worker (node.js): what is done to the text of cells.

// Walks code and leaves out strings, comments, templates and regular expressions: word(at, text, depth) for each word.
function walk(source, word) {
  const templates = []
  let depth = 0
  let before = '' // the last token's last character, or the last word
  for (let at = 0; at < source.length;) {
    const c = source[at]
    if (c === '/' && source[at + 1] === '/') {
      at = (source.indexOf('\n', at) + 1 || source.length + 1) - 1
    } else if (c === '/' && source[at + 1] === '*') {
      const end = source.indexOf('*/', at + 2)
      if (end < 0) return { depth, open: true }
      at = end + 2
    } else if (c === "'" || c === '"') {
      for (++at; at < source.length && source[at] !== c && source[at] !== '\n'; ++at) if (source[at] === '\\') ++at
      ++at
      before = c
    } else if (c === '`' || (c === '}' && templates.length && templates[templates.length - 1] === depth)) {
      if (c === '}') templates.pop()
      for (++at; at < source.length && source[at] !== '`'; ++at) {
        if (source[at] === '\\') ++at
        else if (source[at] === '$' && source[at + 1] === '{') break
      }
      if (at >= source.length) return { depth, open: true }
      if (source[at] === '$') {
        templates.push(depth)
        at += 2
        before = '{'
      } else {
        ++at
        before = '`'
      }
    } else if (c === '/' && (/^[=(,:;!&|?{}+\-*%<>~^[]?$/.test(before) || /^(return|typeof|case|in|of|await|delete|void)$/.test(before))) {
      let set = false
      for (++at; at < source.length && source[at] !== '\n' && (set || source[at] !== '/'); ++at) {
        if (source[at] === '\\') ++at
        else if (source[at] === '[') set = true
        else if (source[at] === ']') set = false
      }
      ++at
      before = 'x'
    } else if (/[\w$\u0080-\uffff]/.test(c)) {
      const from = at
      while (at < source.length && /[\w$\u0080-\uffff]/.test(source[at])) ++at
      const text = source.slice(from, at)
      if (before !== '.') at = word(from, text, depth) ?? at
      before = text
    } else {
      if ('([{'.includes(c)) ++depth
      if (')]}'.includes(c)) --depth
      if (!/\s/.test(c)) before = c
      ++at
    }
  }
  return { depth, open: templates.length > 0 }
}

const kImport = /import\s*(type\s+)?(?:([\w$]+)\s*,?\s*)?(?:\*\s*as\s+([\w$]+)\s*|\{([^}]*)\}\s*)?(?:from\s*)?(['"])((?:(?!\5).)+)\5(?:\s*(?:with|assert)\s*(\{[^}]*\}))?[ \t]*;?/y

// Static imports become awaited ones, `export` falls away: a cell is no module.
function scripted(source) {
  if (!/\b(import|export)\b/.test(source)) return source
  const edits = []
  walk(source, (at, word, depth) => {
    if (word === 'import') {
      const next = /\s*(.)/y
      next.lastIndex = at + 6
      const c = next.exec(source)?.[1]
      if (c === '(') edits.push([at, at + 6, '__execd_import'])
      else if (c === '.') edits.push([at, source.indexOf('meta', at) + 4, '__execd_meta'])
      else if (depth === 0) {
        kImport.lastIndex = at
        const m = kImport.exec(source)
        if (!m) return
        const call = `await __execd_import(${JSON.stringify(m[6])}${m[7] ? `, { with: ${m[7]} }` : ''})`
        const names = []
        if (m[2]) names.push(`default: ${m[2]}`)
        if (m[4]) names.push(...m[4].split(',').map(n => n.trim()).filter(n => n && !/^type\s/.test(n)).map(n => n.replace(/\s+as\s+/, ': ')))
        let text = `${call};`
        if (m[1]) text = ''
        else if (m[3]) text = `const ${m[3]} = ${call};` + (m[2] ? `const ${m[2]} = ${m[3]}.default;` : '')
        else if (m[2] || m[4] !== undefined) text = `const { ${names.join(', ')} } = ${call};`
        const lines = source.slice(at, kImport.lastIndex).split('\n').length - 1
        edits.push([at, kImport.lastIndex, text + '\n'.repeat(lines)])
        return kImport.lastIndex
      }
    } else if (word === 'export' && depth === 0) {
      const rest = /export\s+(?:default\s+)?(?=\S)(\{[^}]*\}\s*;?)?/y
      rest.lastIndex = at
      const m = rest.exec(source)
      if (m) edits.push([at, rest.lastIndex, ''])
    }
  })
  let out = ''
  let from = 0
  for (const [a, b, text] of edits) {
    out += source.slice(from, a) + text
    from = b
  }
  return out + source.slice(from)
}
})
