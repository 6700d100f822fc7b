// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
// The same for C++: scopes, base classes, enum classes.
#include "types.h"

namespace outer
{
class Base {
    public:
	static int shared;
	long first, hidden;
};
class Slice : public Base {
    public:
	struct Inner {
		char c;
		short s;
	};
	enum class Mode : unsigned char { ONE = 1, TWO = 200 };
	enum Plain { PLAIN = 5 };
	int hidden;
	Inner inner[4];
	Mode mode;
	Plain plain;
};
int Base::shared;
Slice global;
namespace
{
struct Local {
	char c;
	double d;
};
Local local;
}
}

class Slice {
    public:
	char other[3];
};
Slice slice;

int main()
{
	

	print_mappings();
	MEMBER(outer::Slice, first);
	MEMBER(outer::Slice, hidden);
	ARRAY(outer::Slice, inner);
	MEMBER(outer::Slice, inner[3].s);
	MEMBER(outer::Slice, mode);
	MEMBER(outer::Base, hidden);
	MEMBER(outer::Slice::Inner, s);
	MEMBER(outer::Local, d);
	ARRAY(class Slice, other);
	SIZE(outer::Slice);
	SIZE(outer::Slice::Mode);
	SIZE(outer::Slice::Inner);
	VALUE(outer::Slice::Mode::TWO);
	VALUE(outer::Slice::PLAIN);
	VARIABLE(slice);
	printf("variable|_ZN5outer6globalE||%lu %lu\n", N(&outer::global), N(sizeof(outer::global)));
	printf("variable|_ZN5outer4Base6sharedE||%lu 4\n", N(&outer::Base::shared));
	return outer::local.c;
}
