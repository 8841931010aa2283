async def test_a_new_store_answers(store):
    await store.ping()
