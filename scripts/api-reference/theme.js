/**
 * The theme of the API reference. A page begins with a table of what is on it. A signature is a block of code, followed by
 * what the docstring says; what the code tells already (types of parameters, whom a member is inherited from) is not
 * told again.
 */

import { Converter, ReflectionKind } from 'typedoc';
import { MarkdownTheme, MarkdownThemeContext, ModuleRouter } from 'typedoc-plugin-markdown';

/** How values keep from showing themselves, and `using` finds its way: the class says that they do. */
const UNSAID = new Set(['toString', 'toLocaleString', 'toJSON', '[dispose]', '[asyncDispose]']);

/** What the folders of the client's sources are about, in the order in which a reader wants them. */
const TOPICS = new Map([
  ['store', 'Stores'],
  ['secret', 'Handles and values'],
  ['derived', 'What is made of a secret'],
  ['fields', 'Fields'],
  ['cache', 'Caches'],
  ['sources', 'Sources without a server'],
  ['client', 'The client'],
  ['types', 'What calls take and give'],
  ['errors', 'Errors'],
  ['proof', 'Proofs'],
]);

/** By the file that it is declared in, `src/TOPIC.ts` or one of the folder `src/TOPIC/`. */
function topicOf(child) {
  const { packageName, packagePath } = child.project.getSymbolIdFromReflection(child) ?? {};
  const [, topic] = /^src\/(\w+)/.exec(packagePath ?? '') ?? [];
  return packageName === '@coffer/client' ? (TOPICS.get(topic) ?? '') : '';
}

export function load(app) {
  app.renderer.defineTheme('coffer', CofferTheme);
  app.renderer.defineRouter('coffer', CofferRouter);
  app.converter.on(Converter.EVENT_RESOLVE_BEGIN, ({ project }) => {
    for (const member of project.getReflectionsByKind(ReflectionKind.ClassMember)) {
      const inherited = member.kindOf(ReflectionKind.Constructor) && member.inheritedFrom !== undefined;
      if (inherited || UNSAID.has(member.name)) project.removeReflection(member);
    }
  });
}

class CofferRouter extends ModuleRouter {
  getIdealBaseName(reflection) {
    return super.getIdealBaseName(reflection).replace('.Namespace.', '.');
  }

  /** A member gets its anchor relative to its parent: one relative to the page besides would take another heading's. */
  buildAnchors(target, pageTarget) {
    const onPage = pageTarget.kindOf(ReflectionKind.Module | ReflectionKind.Namespace);
    if (!onPage || target.parent === pageTarget) super.buildAnchors(target, pageTarget);
  }
}

class CofferTheme extends MarkdownTheme {
  getRenderContext(page) {
    return new CofferContext(this, page, this.application.options);
  }
}

class CofferContext extends MarkdownThemeContext {
  constructor(...args) {
    super(...args);
    const { body } = this.partials;
    this.partials = {
      ...this.partials,
      body: (model, options) => {
        const text = body(model, options);
        return model.kindOf(ReflectionKind.Module) ? `${this.#contents(model)}\n\n${text}` : text;
      },
      accessor: ({ getSignature }) => this.#signature(getSignature, { accessor: 'get' }),
      signature: (model, options) => this.#signature(model, options),
      inheritance: () => '',
      typeDeclarationUnionContainer: ({ type }) => this.#members(type),
    };
  }

  /** Every name on the page, with the first sentence about it, by topic if there are several. */
  #contents({ groups }) {
    const byTopic = new Map(['', ...TOPICS.values()].map((topic) => [topic, []]));
    for (const child of groups.flatMap(({ children }) => children)) byTopic.get(topicOf(child)).push(child);
    return [...byTopic]
      .filter(([, children]) => children.length > 0)
      .map(([topic, children]) => this.#table(topic, children))
      .join('\n\n');
  }

  #table(topic, children) {
    const rows = children.map(
      (child) => `| [${child.name}](${this.urlTo(child)}) | ${this.#firstSentence(child)} |`,
    );
    return [`| ${topic} | |`, '|---|---|', ...rows].join('\n');
  }

  #firstSentence({ comment, signatures }) {
    const { summary } = comment ?? signatures?.[0]?.comment ?? { summary: [] };
    const [paragraph] = this.helpers.getCommentParts(summary).split('\n\n');
    const [sentence] = paragraph.replace(/\s+/g, ' ').split(/(?<=\.) (?=[A-Z`])/);
    return sentence.replace(/:$/, '.').replaceAll('|', '\\|');
  }

  #signature(model, { accessor, hideTitle, multipleSignatures }) {
    const comment = model.comment ?? (multipleSignatures ? undefined : model.parent?.comment);
    const parts = [
      hideTitle ? '' : this.partials.signatureTitle(model, { accessor }),
      comment === undefined ? '' : this.helpers.getCommentParts(comment.summary),
      this.#said([...(model.typeParameters ?? []), ...(model.parameters ?? [])]),
      ...(comment?.blockTags ?? []).map((tag) => this.#tag(tag)),
    ];
    return parts.filter((part) => part !== '').join('\n\n');
  }

  /** The parameters that the docstring says something about. */
  #said(parameters) {
    return parameters
      .filter(({ comment }) => comment !== undefined)
      .map(({ name, comment }) => `- \`${name}\`: ${this.helpers.getCommentParts(comment.summary)}`)
      .join('\n');
  }

  #tag({ tag, content }) {
    const word = { '@returns': 'Returns', '@throws': 'Throws' }[tag];
    return word === undefined ? '' : `${word} ${this.helpers.getCommentParts(content)}`;
  }

  /** The members of a union that something is said about, each as its type in one line. */
  #members({ types, elementSummaries = [] }) {
    return types
      .map((type, index) => ({ type, summary: elementSummaries[index] ?? [] }))
      .filter(({ summary }) => summary.length > 0)
      .map(({ type, summary }) => `- \`${type.toString()}\`: ${this.helpers.getCommentParts(summary)}`)
      .join('\n');
  }
}
