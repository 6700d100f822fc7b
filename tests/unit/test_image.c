/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Binaries are found again by what they are; regions by when they were. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "model/image.h"

static void binaries_by_device_and_inode(void **state)
{
	struct binary_table table = { 0 };
	struct binary *a, *b, *gone, *vdso;
	int fd;

	(void)state;
	a = binary_get(&table, 8, 100, "/usr/sbin/haproxy");
	assert_non_null(a);
	assert_int_equal(a->fd, -1);
	assert_string_equal(a->path, "/usr/sbin/haproxy");
	assert_string_equal(a->name, "haproxy");
	b = binary_get(&table, 8, 101, "/usr/sbin/haproxy");
	assert_ptr_not_equal(a, b);
	assert_ptr_equal(binary_get(&table, 8, 100, "/other/path"), a);
	assert_ptr_equal(binary_get(&table, 8, 101, "/usr/sbin/haproxy"), b);
	assert_ptr_not_equal(binary_get(&table, 9, 100, "/usr/sbin/haproxy"), a);

	gone = binary_get(&table, 8, 102, "/opt/x y/lib.so (deleted)");
	assert_string_equal(gone->name, "lib.so");
	assert_string_equal(gone->path, "/opt/x y/lib.so (deleted)");

	vdso = binary_get(&table, 0, 0, "[vdso]");
	assert_string_equal(vdso->name, "[vdso]");
	assert_ptr_equal(binary_get(&table, 0, 0, "[vdso]"), vdso);
	assert_ptr_not_equal(binary_get(&table, 0, 0, "//anon"), vdso);
	assert_non_null(binary_get(&table, 0, 0, NULL));

	fd = open("/dev/null", O_RDONLY);
	a->fd = fd;
	binary_table_release(&table);
	assert_null(table.first);
	assert_int_equal(fcntl(fd, F_GETFD), -1);
	assert_int_equal(errno, EBADF);
}

static void add(struct image *image, uint64_t start, uint64_t end, uint64_t born, const char *name)
{
	struct region region = { .start = start, .end = end, .born_ns = born };

	strcpy(region.name, name);
	assert_int_equal(image_add_region(image, &region), 0);
}

static const char *at(const struct image *image, uint64_t address, uint64_t time_ns)
{
	const struct region *region = image_find(image, address, time_ns);

	return region ? region->name : "-";
}

static void youngest_region_born_by_then(void **state)
{
	struct image *image = image_new(7, 42, "a name longer than fits");

	(void)state;
	assert_int_equal(image->id, 7);
	assert_int_equal(image->pid, 42);
	assert_string_equal(image->comm, "a name longer t");
	assert_string_equal(at(image, 0x1000, 0), "-");

	add(image, 0x1000, 0x3000, 0, "first");
	add(image, 0x2000, 0x4000, 50, "second");
	add(image, 0x2000, 0x3000, 100, "third");
	add(image, 0x2800, 0x2900, 70, "late record");

	assert_string_equal(at(image, 0xfff, 0), "-");
	assert_string_equal(at(image, 0x1000, 0), "first");
	assert_string_equal(at(image, 0x4000, 0), "-");
	assert_string_equal(at(image, 0x3fff, 0), "second");
	assert_string_equal(at(image, 0x2fff, 0), "third");
	assert_string_equal(at(image, 0x2800, 0), "third");
	assert_string_equal(at(image, 0x2800, 99), "late record");
	assert_string_equal(at(image, 0x2800, 69), "second");
	assert_string_equal(at(image, 0x2800, 50), "second");
	assert_string_equal(at(image, 0x2800, 49), "first");
	assert_string_equal(at(image, 0x3800, 49), "-");
	image_free(image);
	image_free(NULL);
}

static void many_regions(void **state)
{
	struct image *image = image_new(1, 1, NULL);

	(void)state;
	assert_string_equal(image->comm, "");
	for (uint64_t i = 0; i < 1000; i++)
		add(image, i * 0x1000, (i + 1) * 0x1000, i, "");
	assert_int_equal(image->nr_regions, 1000);
	for (uint64_t i = 0; i < 1000; i++)
		assert_int_equal(image_find(image, i * 0x1000 + 0xfff, 0)->start, i * 0x1000);
	/* What is added may stand in the image itself. */
	for (size_t i = 0; i < 100; i++)
		assert_int_equal(image_add_region(image, &image->regions[i]), 0);
	assert_int_equal(image_find(image, 0, 0)->end, 0x1000);
	image_free(image);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(binaries_by_device_and_inode),
		cmocka_unit_test(youngest_region_born_by_then),
		cmocka_unit_test(many_regions),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
