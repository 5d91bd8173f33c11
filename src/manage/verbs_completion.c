/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * completion: scripts for shells, which ask `lodge complete` what fits; it reads the tables of
 * verbs, so that no list of words is kept twice.
 */
#include <stdio.h>
#include <string.h>

#include "manage/complain.h"
#include "manage/completion.h"
#include "manage/exitcodes.h"
#include "manage/help.h"
#include "manage/verbs.h"

static const char bash_script[] =
	"# bash completion for lodge: put it into /etc/bash_completion.d, or\n"
	"#     source <(lodge completion bash)\n"
	"_lodge() {\n"
	"\tlocal IFS=$'\\n' line=${COMP_LINE:0:COMP_POINT} word found words i\n"
	/* By blanks: what bash calls a word ends at a colon, as in debian:12. */
	"\tIFS=$' \\t' read -ra words <<<\"$line\"\n"
	"\t[[ $line == *[[:blank:]] ]] && words+=(\"\")\n"
	"\tword=${words[-1]}\n"
	"\tfound=$(\"${words[0]}\" complete -- \"${words[@]:1}\" 2>/dev/null)\n"
	"\tCOMPREPLY=($(compgen -W \"$found\" -- \"$word\"))\n"
	"\t[[ $word != *:* || $COMP_WORDBREAKS != *:* ]] ||\n"
	"\t\tCOMPREPLY=(\"${COMPREPLY[@]#\"${word%\"${word##*:}\"}\"}\")\n"
	/* NAME: of a machine, whose path follows; or a file here */
	"\t[[ $found == *: ]] || return 0\n"
	"\tCOMPREPLY+=($(compgen -f -- \"$word\"))\n"
	"\tfor i in \"${!COMPREPLY[@]}\"; do\n"
	"\t\t[[ -d ${COMPREPLY[i]} ]] && COMPREPLY[i]+=/\n"
	"\tdone\n"
	"\t[[ ${COMPREPLY[0]} == *[:/] ]] && compopt -o nospace\n"
	"\treturn 0\n"
	"}\n"
	"complete -o default -F _lodge lodge\n";

static const char zsh_script[] =
	"#compdef lodge\n"
	"# zsh completion for lodge: put it as _lodge into a folder of $fpath, or\n"
	"#     source <(lodge completion zsh)\n"
	"_lodge() {\n"
	"\tlocal -a found\n"
	"\tfound=(${(f)\"$(${words[1]} complete -- \"${(@)words[2,CURRENT]}\" 2>/dev/null)\"})\n"
	"\tif [[ $found[1] == *: ]]; then compadd -S '' -a found; _files\n"
	"\telif (( ${#found} )); then compadd -a found; else _files; fi\n"
	"}\n"
	"if [ \"$funcstack[1]\" = _lodge ]; then _lodge \"$@\"; else compdef _lodge lodge; fi\n";

static int completion(struct verb_call *call)
{
	if (!strcmp(call->words[0], "bash"))
		fputs(bash_script, stdout);
	else if (!strcmp(call->words[0], "zsh"))
		fputs(zsh_script, stdout);
	else
		return complain_with(LODGE_BAD_OPTION, "completion: %s: must be bash or zsh",
				     call->words[0]);
	return LODGE_OK;
}

static int complete(struct verb_call *call)
{
	struct store store;
	char reason[STORE_PATH];
	bool has_store = !store_open(&store, reason, sizeof(reason));

	complete_words(call->command ? (const char *const *)call->command : call->words,
		       has_store ? &store : NULL, stdout);
	return LODGE_OK;
}

const struct verb verbs_completion[] = {
	{"completion",
	 "bash|zsh",
	 "prints a shell's script that completes names and options",
	 1,
	 1,
	 {COMPLETE_SHELL, COMPLETE_NOTHING},
	 NULL,
	 false,
	 false,
	 completion,
	 "To try it: source <(lodge completion bash)"},
	{"complete",
	 "-- WORD...",
	 "lists what can stand in the place of the last word",
	 0,
	 VERB_WORDS_MAX,
	 {0, 0},
	 NULL,
	 false,
	 TAKES_BEHIND_DASHES,
	 complete,
	 "For the scripts of completion."},
	{NULL, NULL, NULL, 0, 0, {0, 0}, NULL, false, false, NULL, NULL},
};
