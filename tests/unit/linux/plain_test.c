/* SPDX-License-Identifier: BSD-2-Clause */
/* What a guest has written, on a terminal. */
#include "test.h"

#include <stdlib.h>
#include <string.h>

#include "manage/plain.h"

static void expect(const char *written, const char *shown)
{
	size_t length = strlen(written);
	struct plain whole = {0}, single = {0};
	char out[600], text[600];
	size_t made, count = 0;

	REQUIRE(length < 500);
	made = plain_take(&whole, written, length, out);
	out[made] = '\0';
	EXPECT_STR(out, shown);
	/* The same byte by byte, and in place. */
	for (size_t i = 0; i < length; i++)
		count += plain_take(&single, written + i, 1, out + count);
	out[count] = '\0';
	EXPECT_STR(out, shown);
	strcpy(text, written);
	plain_text(text);
	EXPECT_STR(text, shown);
}

TEST(text_and_its_layout_stay)
{
	expect("a line\r\n\tand\b another ~\n", "a line\r\n\tand\b another ~\n");
	expect("gr\xc3\xbc\xc3\x9f"
	       "e \xe2\x82\xac \xf0\x9f\x90\xa7",
	       "gr\xc3\xbc\xc3\x9f"
	       "e \xe2\x82\xac \xf0\x9f\x90\xa7");
}

TEST(colours_stay)
{
	expect("[\033[0;32m  OK  \033[0m] up", "[\033[0;32m  OK  \033[0m] up");
	expect("\033[38;5;208mx\033[m", "\033[38;5;208mx\033[m");
	expect("\033[38:2::1:2:3mx", "\033[38:2::1:2:3mx");
	/* With a mark in front they are something else: xterm's keys. */
	expect("\033[>4;2mx", "x");
	expect("\033[?4mx", "x");
	expect("\033[1 mx", "x");
}

TEST(what_a_terminal_would_obey_goes)
{
	expect("a\033[2Jb\033[1;1Hc\033[6nd\033[?1049he", "abcde");
	expect("a\033]0;title\007b\033]52;c;aGk=\033\\c", "abc");
	expect("a\033P+q544e\033\\b\033_x\033\\c\033^y\033\\d\033Xz\033\\e", "abcde");
	expect("a\033cb\033(Bc\0337d\033=e\033#8f", "abcdef");
	expect("bell\007, null\001, delete\177", "bell, null, delete?");
	/* Of eight bits, and as characters. */
	expect("a\x9b"
	       "2Jb",
	       "a?2Jb");
	expect("a\xc2\x9b"
	       "2Jb\xc2\x9d"
	       "c",
	       "a?2Jb?c");
}

TEST(what_never_ends_hides_nothing_more)
{
	char many[400];

	expect("\033]0;no end\nnext line", "next line");
	expect("\033[12\nnext line", "\nnext line");
	expect("\033", "");
	expect("\xe2\x82", "");
	expect("\xe2\x82x\xff\xc0\x80", "x???");
	memset(many, '1', sizeof(many));
	memcpy(many, "\033[", 2);
	strcpy(many + 300, "mx");
	expect(many, "x");
}

TEST(no_piece_makes_more_than_it_may)
{
	struct plain plain = {0};
	char bytes[64], out[64 + PLAIN_HELD];

	srand(1);
	for (unsigned i = 0; i < 200000; i++) {
		size_t length = (size_t)rand() % sizeof(bytes), made;

		for (size_t j = 0; j < length; j++)
			bytes[j] = rand() % 2 ? (char)rand() : "\033[]m;0\n\xc2\x9b"[rand() % 9];
		made = plain_take(&plain, bytes, length, out);
		EXPECT(made <= length + PLAIN_HELD);
		EXPECT(!memchr(out, 7, made));
	}
}

TEST(characters_are_what_the_rfc_says)
{
	EXPECT_EQ(plain_character("a"), 1);
	EXPECT_EQ(plain_character("\xc3\xbc"), 2);
	EXPECT_EQ(plain_character("\xe2\x82\xac"), 3);
	EXPECT_EQ(plain_character("\xf0\x9f\x90\xa7"), 4);
	/* Bytes from the middle, cut off, longer than needed, half of a pair, beyond the last. */
	EXPECT_EQ(plain_character("\xbc"), 0);
	EXPECT_EQ(plain_character("\xe2\x82"), 0);
	EXPECT_EQ(plain_character("\xc3"), 0);
	EXPECT_EQ(plain_character("\xc0\x80"), 0);
	EXPECT_EQ(plain_character("\xe0\x82\xac"), 0);
	EXPECT_EQ(plain_character("\xed\xa0\x80"), 0);
	EXPECT_EQ(plain_character("\xf4\x90\x80\x80"), 0);
	EXPECT_EQ(plain_character("\xff"), 0);
}
