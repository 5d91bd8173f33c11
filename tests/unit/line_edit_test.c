/* SPDX-License-Identifier: BSD-2-Clause */
#include "test.h"

#include "lib/bytes.h"
#include "lib/string.h"
#include "manager/line_edit.h"

#define COLUMNS 80

/* A terminal of the simplest kind: one line of it, which knows carriage return and backspace. */
static char screen[COLUMNS + 1];
static unsigned column, lines, bells;
static char output[65536];
static size_t output_length;

static void clear_line(void)
{
	bytes_fill(screen, ' ', COLUMNS);
	screen[COLUMNS] = '\0';
	column = 0;
}

static void terminal(void *context, const char *bytes, size_t length)
{
	for (size_t i = 0; i < length; i++) {
		char c = bytes[i];

		if (output_length < sizeof(output) - 1)
			output[output_length++] = c;
		if (c == '\r') {
			column = 0;
		} else if (c == '\n') {
			clear_line();
			lines++;
		} else if (c == '\b') {
			EXPECT(column > 0);
			column--;
		} else if (c == '\a') {
			bells++;
		} else {
			EXPECT(c >= ' ' && c < 0x7f);
			/* The last column must stay free: terminals differ in what comes then. */
			REQUIRE(column < COLUMNS - 1);
			screen[column++] = c;
		}
	}
}

static const char *const commands[] = {"start", "status", "stop", "list", NULL};
static const char *const names[] = {"web", "web2", "db", NULL};

static const char *candidate(void *context, const char *before, unsigned index)
{
	const char *const *words = *before ? names : commands;

	for (unsigned i = 0; i < index && words[i];)
		i++;
	for (unsigned i = 0; words[i]; i++)
		if (i == index)
			return words[i];
	return NULL;
}

static struct line_edit edit;

static void begin(void)
{
	bytes_fill(&edit, 0, sizeof(edit));
	edit.put = terminal;
	edit.candidate = candidate;
	edit.prompt = "lodge> ";
	clear_line();
	line_edit_begin(&edit);
}

static enum line_event type(const char *keys)
{
	enum line_event event = LINE_EDITED;

	for (; *keys; keys++) {
		event = line_edit_key(&edit, *keys);
		if (event == LINE_ENTERED && keys[1])
			line_edit_begin(&edit);
	}
	return event;
}

/* What is on the screen, without the blanks at its end. */
static void expect_screen(const char *text)
{
	unsigned end = COLUMNS;
	char seen[COLUMNS + 1];

	while (end && screen[end - 1] == ' ')
		end--;
	bytes_copy(seen, screen, end);
	seen[end] = '\0';
	/* The prompt ends in a blank. */
	if (string_equal(seen, "lodge>"))
		string_copy(seen, sizeof(seen), "lodge> ");
	EXPECT_STR(seen, text);
}

TEST(typing_echoes_and_nothing_else)
{
	begin();
	output_length = 0;
	EXPECT_EQ(type("list\r"), LINE_ENTERED);
	output[output_length] = '\0';
	EXPECT_STR(output, "list\r\n");
	EXPECT_STR(edit.text, "list");
}

TEST(lines_end_in_any_way)
{
	begin();
	EXPECT_EQ(type("a\r"), LINE_ENTERED);
	line_edit_begin(&edit);
	/* The line feed of a carriage return: no second, empty line. */
	EXPECT_EQ(type("\n"), LINE_EDITED);
	EXPECT_EQ(type("b\n"), LINE_ENTERED);
	EXPECT_STR(edit.text, "b");
	line_edit_begin(&edit);
	EXPECT_EQ(type("\n"), LINE_ENTERED);
	EXPECT_STR(edit.text, "");
}

TEST(backspace_and_control_keys)
{
	begin();
	type("starr\x7ft");
	expect_screen("lodge> start");
	type(" web\b\b");
	expect_screen("lodge> start w");
	type("\x15");
	expect_screen("lodge> ");
	type("\x7f\b");
	expect_screen("lodge> ");
	type("one two three\x17");
	expect_screen("lodge> one two");
	EXPECT_STR(edit.text, "one two ");
	type("\x01"
	     "x\x05y");
	EXPECT_STR(edit.text, "xone two y");
	expect_screen("lodge> xone two y");
	type("\x01\x06\x06\x0b");
	EXPECT_STR(edit.text, "xo");
	expect_screen("lodge> xo");
	type("\x02\x04");
	EXPECT_STR(edit.text, "x");
	type("\x04\x06\x06");
	EXPECT_STR(edit.text, "x");
}

TEST(arrows_home_end_delete)
{
	begin();
	type("abc\x1b[D\x1b[D\x1b[3~");
	EXPECT_STR(edit.text, "ac");
	type("\x1b[Hx\x1b[Fy\x1bODz\x1b[1~0\x1b[4~9");
	EXPECT_STR(edit.text, "0xaczy9");
	expect_screen("lodge> 0xaczy9");
	/* What is not known leaves nothing behind. */
	type("\x1b[15~\x1b[1;5C\x1bx\x1b[Z\x80\xff");
	EXPECT_STR(edit.text, "0xaczy9");
}

TEST(control_c_gives_the_line_up)
{
	begin();
	EXPECT_EQ(type("halt\x03"), LINE_LEFT);
	line_edit_begin(&edit);
	EXPECT_EQ(type("list\r"), LINE_ENTERED);
	EXPECT_STR(edit.text, "list");
}

TEST(history_goes_back_and_forth)
{
	begin();
	type("one\rtwo\rtwo\r\rthree\r");
	line_edit_begin(&edit);
	type("new");
	type("\x1b[A");
	expect_screen("lodge> three");
	type("\x1b[A");
	expect_screen("lodge> two");
	type("\x10");
	expect_screen("lodge> one");
	type("\x1b[A");
	expect_screen("lodge> one");
	type("\x1b[B\x1b[B\x0e");
	expect_screen("lodge> new");
	type("\x1b[B");
	expect_screen("lodge> new");
	/* An old line can be changed and entered. */
	type("\x1b[A!");
	EXPECT_EQ(type("\r"), LINE_ENTERED);
	EXPECT_STR(edit.text, "three!");
}

TEST(history_forgets_the_oldest)
{
	char line[] = "0a\r";

	begin();
	for (unsigned i = 0; i < LINE_EDIT_HISTORY + 8; i++) {
		line[0] = (char)('0' + i % 10);
		line[1] = (char)('a' + i % 26);
		type(line);
		line_edit_begin(&edit);
	}
	for (unsigned i = 0; i < 2 * LINE_EDIT_HISTORY; i++)
		type("\x1b[A");
	EXPECT_STR(edit.text, "8i");
}

TEST(tab_completes)
{
	begin();
	type("l\t");
	EXPECT_STR(edit.text, "list ");
	type("w\t");
	EXPECT_STR(edit.text, "list web");
	lines = 0;
	type("\t");
	EXPECT_EQ(lines, 1);
	expect_screen("lodge> list web");
	type("2\t");
	EXPECT_STR(edit.text, "list web2 ");
	bells = 0;
	type("x\t");
	EXPECT_EQ(bells, 1);
	EXPECT_STR(edit.text, "list web2 x");
	type("\x15st\t");
	EXPECT_STR(edit.text, "st");
	type("a\t");
	EXPECT_STR(edit.text, "sta");
	/* In the middle of a line. */
	type("\x15 web2\x01l\t");
	EXPECT_STR(edit.text, "list  web2");
}

TEST(long_lines_show_a_part)
{
	begin();
	for (unsigned i = 0; i < LINE_EDIT_MAX - 1; i++)
		type((const char[]){(char)('a' + i % 26), 0});
	EXPECT_EQ(edit.length, LINE_EDIT_MAX - 1);
	bells = 0;
	type("z");
	EXPECT_EQ(bells, 1);
	EXPECT_EQ(edit.length, LINE_EDIT_MAX - 1);
	type("\x01");
	EXPECT(string_starts(screen, "lodge> abcdefg"));
	EXPECT_EQ(column, 7);
	type("\x05\b");
	EXPECT_EQ(edit.length, LINE_EDIT_MAX - 2);
}

TEST(hidden_lines_come_back)
{
	begin();
	type("start we\x02");
	line_edit_hide(&edit);
	expect_screen("");
	EXPECT_EQ(column, 0);
	line_edit_hide(&edit);
	terminal(NULL, "web: started\r\n", 14);
	line_edit_show(&edit);
	expect_screen("lodge> start we");
	EXPECT_EQ(column, 14);
	type("\x05"
	     "b");
	expect_screen("lodge> start web");
}

/* Whatever is typed, the screen shows the text and the cursor. */
TEST(the_screen_is_always_right)
{
	static const char *const keys[] = {"a",	     "b c",	"\b",	     "\x1b[D", "\x1b[C",
					   "\x1b[A", "\x1b[B",	"\x15",	     "\x0b",   "\x17",
					   "\t",     "\x1b[3~", "\x01",	     "\x05",   "hello ",
					   "\x0c",   "x\r",	"0123456789"};
	uint32_t random = 1;

	begin();
	for (unsigned i = 0; i < 20000; i++) {
		unsigned width = COLUMNS - 2 - 7, shown;

		random = random * 1664525 + 1013904223;
		if (type(keys[(random >> 16) % (sizeof(keys) / sizeof(keys[0]))]) == LINE_ENTERED)
			line_edit_begin(&edit);
		EXPECT_EQ(string_length(edit.text), edit.length);
		REQUIRE(edit.cursor <= edit.length && edit.cursor >= edit.first);
		REQUIRE(column == 7 + edit.cursor - edit.first);
		shown = edit.length - edit.first < width ? edit.length - edit.first : width;
		REQUIRE(bytes_equal(screen, "lodge> ", 7));
		REQUIRE(bytes_equal(screen + 7, edit.text + edit.first, shown));
		for (unsigned at = 7 + shown; at < COLUMNS; at++)
			REQUIRE(screen[at] == ' ');
	}
}
