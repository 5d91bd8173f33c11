# SPDX-License-Identifier: BSD-2-Clause
# complete.zsh LODGE HOW LINE... : what each line becomes by Tab in a zsh with a terminal. HOW: `source`, or the
# folder where _lodge is. For tests/manage/layers.sh.
zmodload zsh/zpty || exit 2
how=$2
path=(${1:h} $path)
shift 2
export TERM=dumb
zpty shell 'zsh -f -i'
say() { zpty -w shell "$1" }
# hear PATTERN : all that the shell writes up to there
hear() {
	local part waited
	all=
	until [[ $all == *${~1}* ]]; do
		zpty -r -t shell part && all+=$part && continue
		(( ++waited > 1000 )) && print "no $1: $all" && exit 1
		sleep 0.02
	done
}
say 'PS1= PS2= RPS1=; unset zle_bracketed_paste; autoload -Uz compinit'
[[ $how = source ]] || say "fpath=($how \$fpath)"
say 'compinit -u -D'
[[ $how = source ]] && say 'source <(lodge completion zsh)'
say 'print rea''dy'
hear ready
for line; do
	# Then the line itself, as it has become, is printed.
	zpty -n -w shell "$line"$'\t'
	zpty -n -w shell $'\x01print -r -- "<<\x05>>"\n'
	hear $'\n<<*>>'
	print -r -- "${${all##*$'\n<<'}%%>>*}"
done
